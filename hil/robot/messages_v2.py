"""VDA 5050 2.1 messages, typed after the standard (uagv/v2/<manufacturer>/<serialNumber>/<topic>)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from hil.robot.machine import Action, Command, Edge, Machine, Node

VERSION = "2.1.0"
BROKEN = "CONNECTIONBROKEN"
_MODES = {"INTERVENED": "SEMIAUTOMATIC", "STARTUP": "AUTOMATIC", "TEACH_IN": "TEACHIN"}
_LEVELS = {"WARNING": "WARNING", "URGENT": "WARNING", "CRITICAL": "FATAL", "FATAL": "FATAL"}


class Header(TypedDict):
    """What every message begins with. `n` is the rig's own number; the standard leaves room for further members."""

    headerId: int
    timestamp: str
    version: str
    manufacturer: str
    serialNumber: str
    n: NotRequired[int]


class NodePosition(TypedDict):
    x: float
    y: float
    theta: NotRequired[float]
    mapId: str


class NodeState(TypedDict):
    nodeId: str
    sequenceId: int
    released: bool
    nodePosition: NotRequired[NodePosition]


class EdgeState(TypedDict):
    edgeId: str
    sequenceId: int
    released: bool


class ActionState(TypedDict):
    actionId: str
    actionType: NotRequired[str]
    actionStatus: str
    resultDescription: NotRequired[str]


class AgvPosition(TypedDict):
    x: float
    y: float
    theta: float
    mapId: str
    positionInitialized: bool
    localizationScore: NotRequired[float]


class Velocity(TypedDict):
    vx: float
    vy: float
    omega: float


class Load(TypedDict):
    loadId: str
    loadType: str
    weight: float


class BatteryState(TypedDict):
    batteryCharge: float
    batteryVoltage: NotRequired[float]
    charging: bool


class Reference(TypedDict):
    referenceKey: str
    referenceValue: str


class Error(TypedDict):
    errorType: str
    errorReferences: list[Reference]
    errorDescription: str
    errorLevel: str


class Information(TypedDict):
    infoType: str
    infoReferences: list[Reference]
    infoDescription: str
    infoLevel: str


class SafetyState(TypedDict):
    eStop: str
    fieldViolation: bool


class State(Header):
    orderId: str
    orderUpdateId: int
    lastNodeId: str
    lastNodeSequenceId: int
    driving: bool
    paused: bool
    distanceSinceLastNode: float
    operatingMode: str
    nodeStates: list[NodeState]
    edgeStates: list[EdgeState]
    agvPosition: AgvPosition
    velocity: Velocity
    loads: list[Load]
    actionStates: list[ActionState]
    batteryState: BatteryState
    errors: list[Error]
    information: list[Information]
    safetyState: SafetyState


class Visualization(Header):
    agvPosition: AgvPosition
    velocity: Velocity


class Connection(Header):
    connectionState: str


class Parameter(TypedDict):
    key: str
    value: str | float | bool


class ActionOrder(TypedDict):
    actionType: str
    actionId: str
    blockingType: str
    actionParameters: list[Parameter]


class NodeOrder(NodeState):
    actions: list[ActionOrder]


class EdgeOrder(EdgeState):
    startNodeId: str
    endNodeId: str
    maxSpeed: float
    actions: list[ActionOrder]


class Order(Header):
    orderId: str
    orderUpdateId: int
    nodes: list[NodeOrder]
    edges: list[EdgeOrder]


class InstantActions(Header):
    actions: list[ActionOrder]


def state(header: Header, machine: Machine, remark: tuple[str, str] | None) -> State:
    """Make a state. `remark` is (an address, a text) that an operator left at the robot."""
    return {
        **header,
        "orderId": machine.order_id,
        "orderUpdateId": machine.order_update,
        "lastNodeId": machine.last_node,
        "lastNodeSequenceId": machine.last_sequence,
        "driving": machine.driving,
        "paused": machine.paused,
        "distanceSinceLastNode": round(machine.travelled, 3),
        "operatingMode": _MODES.get(machine.mode, machine.mode),
        "nodeStates": [_node(node) for node in machine.nodes],
        "edgeStates": [_edge(edge) for edge in machine.edges],
        "agvPosition": _position(machine),
        "velocity": _velocity(machine),
        "loads": [{"loadId": name, "loadType": "EPAL", "weight": weight} for name, weight in machine.loads],
        "actionStates": [_action(action) for action in (*machine.actions, *machine.instant)],
        "batteryState": {
            "batteryCharge": round(machine.battery, 1),
            "batteryVoltage": round(44 + machine.battery / 12, 2),
            "charging": machine.charging,
        },
        "errors": [
            {
                "errorType": fault.kind,
                "errorReferences": [{"referenceKey": "nodeId", "referenceValue": fault.node}],
                "errorDescription": fault.text,
                "errorLevel": _LEVELS[fault.level],
            }
            for fault in machine.faults
        ],
        "information": [_remark(*remark)] if remark else [],
        "safetyState": {"eStop": machine.stop, "fieldViolation": machine.field_violation},
    }


def visualization(header: Header, machine: Machine, _state_header_id: int) -> Visualization:
    """Make a visualization."""
    return {**header, "agvPosition": _position(machine), "velocity": _velocity(machine)}


def connection(header: Header, connection_state: str) -> Connection:
    """Make a connection message."""
    return {**header, "connectionState": connection_state}


def order(header: Header, machine: Machine) -> Order:
    """Make the order at work, as the fleet control sent it."""
    nodes: list[NodeOrder] = [
        {**_node(node), "actions": [_order(action.kind, action.action_id, action.station) for action in node.actions]}
        for node in machine.all_nodes
    ]
    edges: list[EdgeOrder] = [
        {**_edge(edge), "startNodeId": edge.start, "endNodeId": edge.end, "maxSpeed": 1.4, "actions": []}
        for edge in machine.all_edges
    ]
    return {**header, "orderId": machine.order_id, "orderUpdateId": machine.order_update, "nodes": nodes, "edges": edges}


def instant_actions(header: Header, command: Command) -> InstantActions:
    """Make an instant action."""
    action = _order(command.action, command.action_id, "", blocking="NONE")
    if command.make_text:
        action["actionParameters"] = [{"key": "reason", "value": command.make_text()}]
    return {**header, "actions": [action]}


def _order(kind: str, action_id: str, station: str, *, blocking: str = "HARD") -> ActionOrder:
    parameters: list[Parameter] = [{"key": "stationName", "value": station}] if station else []
    return {"actionType": kind, "actionId": action_id, "blockingType": blocking, "actionParameters": parameters}


def _node(node: Node) -> NodeState:
    position: NodePosition = {"x": node.x, "y": node.y, "mapId": "hall-9"}
    return {
        "nodeId": node.node_id,
        "sequenceId": node.sequence,
        "released": node.released,
        "nodePosition": position,
    }


def _edge(edge: Edge) -> EdgeState:
    return {"edgeId": edge.edge_id, "sequenceId": edge.sequence, "released": edge.released}


def _action(action: Action) -> ActionState:
    result: ActionState = {"actionId": action.action_id, "actionType": action.kind, "actionStatus": action.status}
    if action.status == "FAILED":
        result["resultDescription"] = "load not found"
    return result


def _position(machine: Machine) -> AgvPosition:
    return {
        "x": round(machine.x, 4),
        "y": round(machine.y, 4),
        "theta": round(machine.theta, 4),
        "mapId": "hall-9",
        "positionInitialized": True,
        "localizationScore": 0.93,
    }


def _velocity(machine: Machine) -> Velocity:
    return {"vx": machine.speed, "vy": 0.0, "omega": 0.0}


def _remark(address: str, text: str) -> Information:
    return {
        "infoType": "operatorRemark",
        "infoReferences": [{"referenceKey": "operator_email", "referenceValue": address}],
        "infoDescription": text,
        "infoLevel": "INFO",
    }
