"""C functions that a simulated card refuses: sensors and features it does not have.

Temperature, power, clocks and the like would have to be invented, and nothing here pretends. They
are refused as not supported, which every tool is used to, rather than missing, which would look
like an old driver.
"""

from __future__ import annotations

from gpuslice.simulator.arguments import Argument
from gpuslice.simulator.codes import Code, Refusal
from gpuslice.simulator.session import Session
from gpuslice.simulator.table import FunctionTable

FUNCTIONS = FunctionTable()

_REFUSED = """
    nvmlDeviceGetAccountingMode
    nvmlDeviceGetBoardId
    nvmlDeviceGetBoardPartNumber
    nvmlDeviceGetBrand
    nvmlDeviceGetClock
    nvmlDeviceGetClockInfo
    nvmlDeviceGetCurrPcieLinkGeneration
    nvmlDeviceGetCurrPcieLinkWidth
    nvmlDeviceGetCurrentClocksEventReasons
    nvmlDeviceGetCurrentClocksThrottleReasons
    nvmlDeviceGetDecoderUtilization
    nvmlDeviceGetDisplayActive
    nvmlDeviceGetDisplayMode
    nvmlDeviceGetDriverModel
    nvmlDeviceGetDriverModel_v2
    nvmlDeviceGetEccMode
    nvmlDeviceGetEncoderUtilization
    nvmlDeviceGetEnforcedPowerLimit
    nvmlDeviceGetFanSpeed
    nvmlDeviceGetFanSpeed_v2
    nvmlDeviceGetMaxClockInfo
    nvmlDeviceGetMaxPcieLinkGeneration
    nvmlDeviceGetMaxPcieLinkWidth
    nvmlDeviceGetMemoryBusWidth
    nvmlDeviceGetMemoryErrorCounter
    nvmlDeviceGetNvLinkState
    nvmlDeviceGetPcieThroughput
    nvmlDeviceGetPerformanceState
    nvmlDeviceGetPowerManagementDefaultLimit
    nvmlDeviceGetPowerManagementLimit
    nvmlDeviceGetPowerManagementLimitConstraints
    nvmlDeviceGetPowerUsage
    nvmlDeviceGetProcessUtilization
    nvmlDeviceGetRunningProcessDetailList
    nvmlDeviceGetSamples
    nvmlDeviceGetSerial
    nvmlDeviceGetSupportedEventTypes
    nvmlDeviceGetTemperature
    nvmlDeviceGetTemperatureThreshold
    nvmlDeviceGetTemperatureV
    nvmlDeviceGetTotalEccErrors
    nvmlDeviceGetTotalEnergyConsumption
    nvmlDeviceGetVbiosVersion
"""


@FUNCTIONS.answers(*_REFUSED.split())
def refuse(session: Session, device: Argument, *rest: Argument) -> None:  # noqa: ARG001 - each has arguments of its own
    """Refuse, once the handle has proved good."""
    session.device(device)
    raise Refusal(Code.NOT_SUPPORTED)
