"""What a VDA 5050 message may hold: the standard's fields by kind of message, 2.0, 2.1 and 3.0 together.

Written from the standard's text. A field that two versions type differently takes both. What is not here is unknown, and
the profile `strict` lets nothing unknown through; free text is here, so that it is told from the unknown.
"""

from __future__ import annotations

from typing import Any

NUMBER, UNIT, COUNT, FLAG = "number", "unit", "count", "flag"
ID, OWN, TIME, VERSION, TEXT = "id", "own", "time", "version", "text"
ANY = "*"  # any other member, if its name is one that a machine has


class Words(frozenset[str]):
    """The values that the standard enumerates."""


def _words(text: str) -> Words:
    return Words(text.split())


_HEADER: dict[str, Any] = {
    "headerId": COUNT,
    "timestamp": TIME,
    "version": VERSION,
    "manufacturer": OWN,
    "serialNumber": OWN,
}
_POINT = {"x": NUMBER, "y": NUMBER, "z": NUMBER, "theta": NUMBER}
_TRAJECTORY = {
    "degree": COUNT,
    "knotVector": [UNIT],
    "controlPoints": [_POINT | {"weight": NUMBER, "orientation": NUMBER}],
}
_PLACE = _POINT | {
    "mapId": ID,
    "mapDescription": TEXT,
    "allowedDeviationXY": (NUMBER, {"a": NUMBER, "b": NUMBER, "theta": NUMBER}),
    "allowedDeviationXy": NUMBER,
    "allowedDeviationTheta": NUMBER,
}
_POSITION = _POINT | {
    "mapId": ID,
    "mapDescription": TEXT,
    "positionInitialized": FLAG,
    "localized": FLAG,
    "localizationScore": NUMBER,
    "deviationRange": NUMBER,
}
_VELOCITY = {"vx": NUMBER, "vy": NUMBER, "omega": NUMBER}
_MOTION = {
    "agvPosition": _POSITION,
    "mobileRobotPosition": _POSITION,
    "velocity": _VELOCITY,
    "plannedPath": {"trajectory": _TRAJECTORY, "traversedNodes": [ID]},
    "intermediatePath": {"polyline": [_POINT | {"eta": TIME}]},
}
_BOX = {"boundingBoxReference": _POINT, "loadDimensions": {"length": NUMBER, "width": NUMBER, "height": NUMBER}}
_ACTION = {
    "actionType": ID,
    "actionName": ID,
    "actionId": ID,
    "actionDescription": TEXT,
    "actionDescriptor": TEXT,
    "blockingType": _words("NONE SOFT SINGLE HARD"),
    "actionParameters": [{"key": ID, "value": (ID, NUMBER, FLAG)}],
    "retriable": FLAG,
}
_ACTION_STATE = {
    "actionId": ID,
    "actionType": ID,
    "actionDescription": TEXT,
    "actionDescriptor": TEXT,
    "actionStatus": _words("WAITING INITIALIZING RUNNING PAUSED RETRIABLE FINISHED FAILED"),
    "resultDescription": TEXT,
    "actionResult": TEXT,
}
_REFERENCES = [{"referenceKey": ID, "referenceValue": (ID, NUMBER, FLAG)}]
_TRANSLATIONS = [{"translationKey": ID, "translationValue": TEXT}]
_REQUESTED = _words("REQUESTED GRANTED REVOKED EXPIRED")
_ENABLED = _words("ENABLED DISABLED")

_NODE = {
    "nodeId": ID,
    "sequenceId": COUNT,
    "nodeDescription": TEXT,
    "nodeDescriptor": TEXT,
    "released": FLAG,
    "nodePosition": _PLACE,
}
_EDGE = {
    "edgeId": ID,
    "sequenceId": COUNT,
    "edgeDescription": TEXT,
    "edgeDescriptor": TEXT,
    "released": FLAG,
    "trajectory": _TRAJECTORY,
}
_POWER = {
    "batteryCharge": NUMBER,
    "stateOfCharge": NUMBER,
    "batteryVoltage": NUMBER,
    "batteryCurrent": NUMBER,
    "batteryHealth": NUMBER,
    "charging": FLAG,
    "reach": NUMBER,
    "range": NUMBER,
}
_STATE = (
    _HEADER
    | _MOTION
    | {
        "maps": [{"mapId": ID, "mapVersion": ID, "mapDescription": TEXT, "mapDescriptor": TEXT, "mapStatus": _ENABLED}],
        "zoneSets": [{"zoneSetId": ID, "mapId": ID, "zoneSetStatus": _ENABLED}],
        "orderId": ID,
        "orderUpdateId": COUNT,
        "zoneSetId": ID,
        "lastNodeId": ID,
        "lastNodeSequenceId": COUNT,
        "driving": FLAG,
        "paused": FLAG,
        "newBaseRequest": FLAG,
        "distanceSinceLastNode": NUMBER,
        "operatingMode": _words("STARTUP AUTOMATIC SEMIAUTOMATIC INTERVENED MANUAL SERVICE TEACHIN TEACH_IN"),
        "nodeStates": [_NODE],
        "edgeStates": [_EDGE],
        "loads": [{"loadId": ID, "loadType": ID, "loadPosition": ID, "weight": NUMBER} | _BOX],
        "actionStates": [_ACTION_STATE],
        "instantActionStates": [_ACTION_STATE],
        "zoneActionStates": [_ACTION_STATE],
        "zoneRequests": [
            {
                "requestId": ID,
                "requestType": _words("ACCESS REPLANNING"),
                "zoneId": ID,
                "zoneSetId": ID,
                "requestStatus": _REQUESTED,
                "trajectory": _TRAJECTORY,
            }
        ],
        "edgeRequests": [
            {
                "requestId": ID,
                "requestType": _words("CORRIDOR"),
                "edgeId": ID,
                "sequenceId": COUNT,
                "requestStatus": _REQUESTED,
            }
        ],
        "batteryState": _POWER,
        "powerSupply": _POWER,
        "errors": [
            {
                "errorType": ID,
                "errorReferences": _REFERENCES,
                "errorDescription": TEXT,
                "errorDescriptionTranslations": _TRANSLATIONS,
                "errorHint": TEXT,
                "errorHintTranslations": _TRANSLATIONS,
                "errorLevel": _words("WARNING URGENT CRITICAL FATAL"),
            }
        ],
        "information": [
            {
                "infoType": ID,
                "infoReferences": _REFERENCES,
                "infoDescription": TEXT,
                "infoDescriptor": TEXT,
                "infoLevel": _words("INFO DEBUG"),
            }
        ],
        "safetyState": {
            "eStop": _words("AUTOACK MANUAL REMOTE NONE"),
            "activeEmergencyStop": _words("MANUAL REMOTE NONE"),
            "fieldViolation": FLAG,
        },
    }
)
_ORDER = _HEADER | {
    "orderId": ID,
    "orderUpdateId": COUNT,
    "orderDescription": TEXT,
    "zoneSetId": ID,
    "nodes": [_NODE | {"actions": [_ACTION]}],
    "edges": [
        _EDGE
        | {
            "startNodeId": ID,
            "endNodeId": ID,
            "maxSpeed": NUMBER,
            "maximumSpeed": NUMBER,
            "maxHeight": NUMBER,
            "minHeight": NUMBER,
            "maximumMobileRobotHeight": NUMBER,
            "minimumLoadHandlingDeviceHeight": NUMBER,
            "orientation": NUMBER,
            "orientationType": _words("GLOBAL TANGENTIAL"),
            "direction": ID,
            "rotationAllowed": FLAG,
            "reachOrientationBeforeEntering": FLAG,
            "maxRotationSpeed": NUMBER,
            "length": NUMBER,
            "corridor": {
                "leftWidth": NUMBER,
                "rightWidth": NUMBER,
                "corridorRefPoint": _words("KINEMATICCENTER CONTOUR"),
                "corridorReferencePoint": _words("KINEMATIC_CENTER CONTOUR"),
                "releaseRequired": FLAG,
                "releaseLossBehavior": _words("STOP RETURN"),
            },
            "actions": [_ACTION],
        }
    ],
}
_CONNECTION = _words("ONLINE OFFLINE HIBERNATING CONNECTIONBROKEN CONNECTION_BROKEN")
_GRANT = _words("GRANTED QUEUED REVOKED REJECTED")
_NUMBERS = {ANY: (NUMBER, FLAG)}
_ABILITY = {
    "actionType": ID,
    "actionDescription": TEXT,
    "actionScopes": [_words("INSTANT NODE EDGE ZONE")],
    "actionParameters": [{"key": ID, "valueDataType": ID, "description": TEXT, "isOptional": FLAG}],
    "resultDescription": TEXT,
    "actionResult": TEXT,
    "blockingTypes": [_words("NONE SOFT SINGLE HARD")],
    "pauseAllowed": FLAG,
    "cancelAllowed": FLAG,
}
_GEOMETRY = {
    "wheelDefinitions": [{"type": ID, "position": _POINT, "constraints": TEXT} | _NUMBERS],
    "envelopes2d": [{"set": ID, "envelope2dId": ID, "polygonPoints": [_POINT], "vertices": [_POINT], "description": TEXT}],
}
_TYPES = [ID]
_CONFIGURATION = {"versions": [{"key": ID, "value": ID}], "batteryCharging": _NUMBERS}  # its addresses are left out
_FACTSHEET = _HEADER | {
    "typeSpecification": {
        "seriesName": ID,
        "seriesDescription": TEXT,
        "agvKinematic": ID,
        "agvClass": ID,
        "mobileRobotKinematics": ID,
        "mobileRobotClass": ID,
        "localizationTypes": _TYPES,
        "navigationTypes": _TYPES,
        "supportedZones": _TYPES,
    }
    | _NUMBERS,
    "physicalParameters": _NUMBERS,
    "protocolLimits": {
        "maxStringLens": _NUMBERS,
        "maximumStringLengths": _NUMBERS,
        "maxArrayLens": _NUMBERS,
        "maximumArrayLengths": _NUMBERS,
        "timing": _NUMBERS,
    },
    "protocolFeatures": {
        "optionalParameters": [{"parameter": ID, "support": _words("SUPPORTED REQUIRED"), "description": TEXT}],
        "agvActions": [_ABILITY],
        "mobileRobotActions": [_ABILITY],
    },
    "agvGeometry": _GEOMETRY,
    "mobileRobotGeometry": _GEOMETRY,
    "loadSpecification": {
        "loadPositions": [ID],
        "loadSets": [
            {"setName": ID, "loadType": ID, "loadPositions": [ID], "description": TEXT} | _BOX | _NUMBERS,
        ],
    },
    "vehicleConfig": _CONFIGURATION,
    "mobileRobotConfiguration": _CONFIGURATION,
}
_ZONE = {"zoneId": ID, "zoneType": ID, "zoneDescriptor": TEXT, "vertices": [_POINT]} | _NUMBERS

MESSAGES: dict[str, dict[str, Any]] = {
    "state": _STATE,
    "visualization": _HEADER | _MOTION | {"referenceStateHeaderId": COUNT},
    "connection": _HEADER | {"connectionState": _CONNECTION},
    "instantActions": _HEADER | {"actions": [_ACTION], "instantActions": [_ACTION]},
    "order": _ORDER,
    "responses": _HEADER | {"responses": [{"requestId": ID, "grantType": _GRANT, "leaseExpiry": TIME}]},
    "zoneSet": _HEADER | {"zoneSet": {"mapId": ID, "zoneSetId": ID, "zoneSetDescriptor": TEXT, "zones": [_ZONE]}},
    "factsheet": _FACTSHEET,
}
"""The last level of the topic -> its fields."""

ACTION_TYPES = _words(
    "startPause stopPause startCharging stopCharging initPosition enableMap downloadMap deleteMap stateRequest logReport pick "
    "drop detectObject finePositioning waitForTrigger cancelOrder factsheetRequest retry skipRetry initializePosition "
    "updateCertificate trigger clearInstantActions clearZoneActions enableZoneSet downloadZoneSet deleteZoneSet "
    "startHibernation stopHibernation shutdown"
)
