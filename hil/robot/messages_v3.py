# ruff: noqa: N815 - members bear the names that the standard gives them
"""VDA 5050 3.0 messages, typed after the standard (vda5050/v3/<manufacturer>/<serialNumber>/<topic>)."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from hil.robot.machine import Action, Command, Edge, Machine, Node
from hil.robot.messages_v2 import Connection, Header, Load, NodePosition, Parameter, Reference, Velocity

VERSION = "3.0.0"
BROKEN = "CONNECTION_BROKEN"


class NodeState(TypedDict):
    nodeId: str
    sequenceId: int
    nodeDescriptor: NotRequired[str]
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
    actionResult: NotRequired[str]


class MobileRobotPosition(TypedDict):
    x: float
    y: float
    theta: float
    mapId: str
    localized: bool
    localizationScore: NotRequired[float]


class PowerSupply(TypedDict):
    stateOfCharge: float
    batteryVoltage: NotRequired[float]
    batteryCurrent: NotRequired[float]
    charging: bool


class Translation(TypedDict):
    translationKey: str
    translationValue: str


class Error(TypedDict):
    errorType: str
    errorReferences: list[Reference]
    errorDescription: str
    errorDescriptionTranslations: NotRequired[list[Translation]]
    errorLevel: str


class Information(TypedDict):
    infoType: str
    infoReferences: list[Reference]
    infoDescriptor: str
    infoLevel: str


class SafetyState(TypedDict):
    activeEmergencyStop: str
    fieldViolation: bool


class State(Header):
    orderId: str
    orderUpdateId: int
    lastNodeId: str
    lastNodeSequenceId: int
    nodeStates: list[NodeState]
    edgeStates: list[EdgeState]
    mobileRobotPosition: MobileRobotPosition
    velocity: Velocity
    loads: list[Load]
    driving: bool
    paused: bool
    distanceSinceLastNode: float
    actionStates: list[ActionState]
    instantActionStates: list[ActionState]
    powerSupply: PowerSupply
    operatingMode: str
    errors: list[Error]
    information: list[Information]
    safetyState: SafetyState


class Visualization(Header):
    referenceStateHeaderId: int
    mobileRobotPosition: MobileRobotPosition
    velocity: Velocity


class ActionOrder(TypedDict):
    actionType: str
    actionId: str
    blockingType: str
    actionParameters: list[Parameter]
    retriable: NotRequired[bool]


class NodeOrder(NodeState):
    actions: list[ActionOrder]


class EdgeOrder(EdgeState):
    maximumSpeed: float
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
        "nodeStates": [_node(node) for node in machine.nodes],
        "edgeStates": [_edge(edge) for edge in machine.edges],
        "mobileRobotPosition": _position(machine),
        "velocity": _velocity(machine),
        "loads": [{"loadId": name, "loadType": "EPAL", "weight": weight} for name, weight in machine.loads],
        "driving": machine.driving,
        "paused": machine.paused,
        "distanceSinceLastNode": round(machine.travelled, 3),
        "actionStates": [_action(action) for action in machine.actions],
        "instantActionStates": [_action(action) for action in machine.instant],
        "powerSupply": {
            "stateOfCharge": round(machine.battery, 1),
            "batteryVoltage": round(44 + machine.battery / 12, 2),
            "batteryCurrent": 11.5 if machine.charging else -3.25,
            "charging": machine.charging,
        },
        "operatingMode": machine.mode,
        "errors": [
            {
                "errorType": fault.kind,
                "errorReferences": [{"referenceKey": "nodeId", "referenceValue": fault.node}],
                "errorDescription": fault.text,
                "errorDescriptionTranslations": [{"translationKey": "de", "translationValue": fault.text}],
                "errorLevel": fault.level,
            }
            for fault in machine.faults
        ],
        "information": [_remark(*remark)] if remark else [],
        "safetyState": {"activeEmergencyStop": machine.stop, "fieldViolation": machine.field_violation},
    }


def visualization(header: Header, machine: Machine, state_header_id: int) -> Visualization:
    """Make a visualization."""
    return {
        **header,
        "referenceStateHeaderId": state_header_id,
        "mobileRobotPosition": _position(machine),
        "velocity": _velocity(machine),
    }


def connection(header: Header, connection_state: str) -> Connection:
    """Make a connection message."""
    return {**header, "connectionState": connection_state}


def order(header: Header, machine: Machine) -> Order:
    """Make the order at work, as the fleet control sent it."""
    nodes: list[NodeOrder] = [
        {**_node(node), "actions": [_order(action.kind, action.action_id, action.station) for action in node.actions]}
        for node in machine.all_nodes
    ]
    edges: list[EdgeOrder] = [{**_edge(edge), "maximumSpeed": 1.4, "actions": []} for edge in machine.all_edges]
    return {**header, "orderId": machine.order_id, "orderUpdateId": machine.order_update, "nodes": nodes, "edges": edges}


def instant_actions(header: Header, command: Command) -> InstantActions:
    """Make an instant action, which may not block since 3.0."""
    action = _order(command.action, command.action_id, "", blocking="NONE")
    if command.make_text:
        action["actionParameters"] = [{"key": "reason", "value": command.make_text()}]
    return {**header, "actions": [action]}


def _order(kind: str, action_id: str, station: str, *, blocking: str = "SINGLE") -> ActionOrder:
    parameters: list[Parameter] = [{"key": "stationName", "value": station}] if station else []
    return {"actionType": kind, "actionId": action_id, "blockingType": blocking, "actionParameters": parameters}


def _node(node: Node) -> NodeState:
    position: NodePosition = {"x": node.x, "y": node.y, "theta": 0.0, "mapId": "hall-9"}
    return {
        "nodeId": node.node_id,
        "sequenceId": node.sequence,
        "nodeDescriptor": f"aisle {node.sequence}",
        "released": node.released,
        "nodePosition": position,
    }


def _edge(edge: Edge) -> EdgeState:
    return {"edgeId": edge.edge_id, "sequenceId": edge.sequence, "released": edge.released}


def _action(action: Action) -> ActionState:
    result: ActionState = {"actionId": action.action_id, "actionType": action.kind, "actionStatus": action.status}
    if action.status == "FAILED":
        result["actionResult"] = "load not found"
    return result


def _position(machine: Machine) -> MobileRobotPosition:
    return {
        "x": round(machine.x, 4),
        "y": round(machine.y, 4),
        "theta": round(machine.theta, 4),
        "mapId": "hall-9",
        "localized": True,
        "localizationScore": 0.93,
    }


def _velocity(machine: Machine) -> Velocity:
    return {"vx": machine.speed, "vy": 0.0, "omega": 0.0}


def _remark(address: str, text: str) -> Information:
    return {
        "infoType": "operatorRemark",
        "infoReferences": [{"referenceKey": "operator_email", "referenceValue": address}],
        "infoDescriptor": text,
        "infoLevel": "INFO",
    }
