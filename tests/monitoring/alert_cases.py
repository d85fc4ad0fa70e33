"""For each alert what it fires on, and what it must stay silent about, in the notation of promtool.

A series' values come once a minute: `0x9` is a zero and nine more, `1+2x3` is 1 3 5 7, `_` is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

Series = dict[str, str]
ONE = {"connection": "conn1", "role": "active", "session": "conn1-tunnel1"}
TWO = {"connection": "conn1", "role": "standby", "session": "conn1-tunnel2"}
PEER = {**ONE, "peer": "169.254.10.2"}
ACCEPTED = {**PEER, "kind": "accepted"}
WHERE = {"instance": "gw1:8179", "job": "bgpsvc-gw1"}


@dataclass(frozen=True)
class Case:
    """With the series `fires` the alert is there at `at`, with `labels`; with each of `quiet` it is not."""

    at: str
    fires: Series
    labels: dict[str, str]
    quiet: tuple[Series, ...]


def one(name: str, labels: dict[str, str], values: str) -> Series:
    """One series of the daemon at gw1."""
    text = ", ".join(f'{key}="{value}"' for key, value in {**labels, **WHERE}.items())
    return {f"{name}{{{text}}}": values}


def tunnels(name: str, first: str, second: str) -> Series:
    """A figure of both tunnels of a connection."""
    return one(name, ONE, first) | one(name, TWO, second)


def simple(name: str, labels: dict[str, str], bad: str, *good: str, at: str = "30m") -> Case:
    """An alert on one series, which fires with all its labels."""
    return Case(at, one(name, labels, bad), labels, tuple(one(name, labels, values) for values in good))


def accepted(values: str, up: str = "1x90") -> Series:
    """Accepted prefixes of a session."""
    return one("bgpsvc_session_prefixes", ACCEPTED, values) | one("bgpsvc_session_up", PEER, up)


def on_standby(carrying: str, auto: str) -> Series:
    """The standby tunnel carries traffic, and the mode is auto, or neither."""
    mode = one("bgpsvc_connection_mode", {"connection": "conn1", "mode": "auto"}, auto)
    return mode | one("bgpsvc_tunnel_carrying", TWO, carrying)


def limit(values: str) -> Series:
    """Accepted prefixes of a session that may have 100."""
    return accepted(values) | one("bgpsvc_session_prefix_limit", PEER, "100x90")


def requests(good: str, bad: str, route: str = "/v1/events") -> Series:
    """Requests answered with 200, and with 503 of that route."""
    name, labels = "bgpsvc_http_requests_total", {"method": "GET"}
    fine = one(name, {**labels, "route": "/v1/events", "code": "200"}, good)
    return fine | one(name, {**labels, "route": route, "code": "503"}, bad)


def lag(late: str) -> Series:
    """240 looks a minute, of which all but some are in time."""
    name = "bgpsvc_event_loop_lag_seconds_bucket"
    bounds = {"0.25": "0+240x60" if late == "0x60" else "0+120x60", "0.5": "0+240x60", "+Inf": "0+240x60"}
    return {key: value for le, of in bounds.items() for key, value in one(name, {"le": le}, of).items()}


def bfd(state: str, up: str) -> Series:
    """BFD and BGP of a tunnel."""
    return one("bgpsvc_bfd_state", ONE, state) | one("bgpsvc_session_up", PEER, up)


def token(expires: str, created: str) -> Series:
    """When a token ends, and when it was made."""
    return one("bgpsvc_token_expiry_timestamp_seconds", TOKEN, expires) | one(
        "bgpsvc_token_created_timestamp_seconds", TOKEN, created
    )


TOKEN = {"token": "0123456789ab", "name": "prometheus"}
CASES: dict[str, Case] = {
    "BgpsvcConnectionDown": Case(
        "5m",
        tunnels("bgpsvc_tunnel_carrying", "1 0x10", "0x11"),
        {"connection": "conn1"},
        (
            tunnels("bgpsvc_tunnel_carrying", "1 0x10", "0 1x10"),
            tunnels("bgpsvc_tunnel_carrying", "1x4 0 1x5", "0x11"),
        ),
    ),
    "BgpsvcConnectionNotRedundant": Case(
        "10m",
        tunnels("bgpsvc_tunnel_state", "4x2 0x10", "4x12"),
        {"connection": "conn1"},
        (
            tunnels("bgpsvc_tunnel_state", "4x12", "4x12"),
            tunnels("bgpsvc_tunnel_state", "4x8 3x4", "4x12"),
            tunnels("bgpsvc_tunnel_state", "0x12", "0x12"),
            one("bgpsvc_tunnel_state", ONE, "4x12"),
        ),
    ),
    "BgpsvcTrafficOnStandby": Case(
        "40m",
        on_standby("1x60", "1x60"),
        TWO,
        (on_standby("1x60", "0x60"), on_standby("0x20 1x40", "1x60"), on_standby("0x60", "1x60")),
    ),
    "BgpsvcMaintenanceForgotten": simple(
        *("bgpsvc_connection_mode_timestamp_seconds", {"connection": "conn1"}, "600x300", "7200x300"),
        at="4h20m",
    ),
    "BgpsvcTunnelFlapping": simple("bgpsvc_tunnel_flapping", ONE, "0x20 1x20", "0x40"),
    "BgpsvcIpsecDown": simple("bgpsvc_ipsec_up", ONE, "1x20 0x20", "1x40", "1x26 0x14"),
    "BgpsvcBfdDown": Case(
        "10m",
        bfd("1x20", "1x20"),
        ONE,
        (bfd("3x20", "1x20"), bfd("1x20", "0x20"), one("bgpsvc_session_up", PEER, "1x20")),
    ),
    "BgpsvcSessionDown": simple("bgpsvc_session_up", PEER, "1x20 0x20", "1x40", "1x26 0x14"),
    "BgpsvcSessionFlapping": simple(
        "bgpsvc_session_flaps_total", PEER, "0+1x60", "0x60", "0x30 2x30", at="50m"
    ),
    "BgpsvcPrefixesGone": Case(
        "50m",
        accepted("500x40 0x50"),
        ACCEPTED,
        (accepted("0x90"), accepted("500x40 0x50", "1x40 0x50"), accepted("500x47 0x43"), accepted("9x90")),
    ),
    "BgpsvcPrefixesHalved": Case(
        "80m",
        accepted("500x70 200x20"),
        ACCEPTED,
        (accepted("500x70 300x20"), accepted("500x70 0x20"), accepted("500x70 200x20", "1x70 0x20")),
    ),
    "BgpsvcPrefixLimitNear": Case("30m", limit("95x90"), PEER, (limit("90x90"), limit("50x26 95x64"))),
    "BgpsvcPrefixesShed": simple(
        "bgpsvc_session_prefixes", {**PEER, "kind": "shed"}, "0x20 7x20", "0x40", "7x20 0x20"
    ),
    "BgpsvcRoutesRefused": simple(
        "bgpsvc_vpc_routes_refused", {"vpc": "vpc1"}, "0x20 3x20", "0x40", "3x20 0x20"
    ),
    "BgpsvcRoutesPending": simple(
        "bgpsvc_vpc_routes_pending", {"vpc": "vpc1"}, "0x5 9x40", "0x40", "9x19 0 9x20", "0x20 9x20"
    ),
    "BgpsvcRoutesRepaired": simple("bgpsvc_fib_repairs_total", {}, "0x20 5x20", "5x40"),
    "BgpsvcDown": simple("up", {}, "1x20 0x20", "1x40", "0x20 1x20"),
    "BgpsvcNotScraped": Case(
        "10m",
        {'up{instance="gw1:9100", job="node"}': "1x20"},
        {},
        (one("up", {}, "1x20"), one("up", {}, "0x20")),
    ),
    "BgpsvcRestarting": simple(
        *(
            "bgpsvc_process_start_time_seconds",
            {"process": "daemon"},
            "10x14 20x5 _ 30 _ 40x9",
            "10x14 20x5 30x20",
        ),
    ),
    "BgpsvcSpeakerRestarting": simple(
        "bgpsvc_speaker_restarts_total", {"role": "active"}, "0x10 1x5 2x5 4x20", "0x10 1x30", at="35m"
    ),
    "BgpsvcGuardAbsent": simple("bgpsvc_guard_up", {}, "1x20 0x20", "1x40", "0x20 1x20"),
    "BgpsvcDatabaseLost": simple("bgpsvc_database_up", {}, "1x20 0x20", "1x40", "0x20 1x20"),
    "BgpsvcNotReady": Case(
        "30m",
        one("bgpsvc_ready_check", {"check": "ipsec"}, "1x20 0x20"),
        {"check": "ipsec"},
        (
            one("bgpsvc_ready_check", {"check": "ipsec"}, "1x26 0x14"),
            one("bgpsvc_ready_check", {"check": "database"}, "0x40"),
        ),
    ),
    "BgpsvcConfigurationNotTaken": simple(
        "bgpsvc_configuration_settled", {}, "1x20 0x20", "1x40", "1x26 0x14"
    ),
    "BgpsvcEventLoopLate": Case("30m", lag("half"), {}, (lag("0x60"),)),
    "BgpsvcRequestsFailing": Case(
        "30m",
        requests("0+90x60", "0+10x60"),
        {},
        (requests("0+90x60", "0x60"), requests("0+90x60", "0+10x60", "/readyz")),
    ),
    "BgpsvcBmpStationLost": simple(
        *("bgpsvc_bmp_up", {"station": "192.0.2.9:1790"}, "1x20 0x20", "1x40", "1x26 0x14"),
    ),
    "BgpsvcRecordingStopped": simple("bgpsvc_recording_up", {}, "1x20 0x20", "1x40", "1x29 0x11"),
    "BgpsvcRecordingIncomplete": simple(
        "bgpsvc_recording_lost_events_total", {}, "0x20 30x20", "0x40", "30x40"
    ),
    "BgpsvcCertificateExpiring": simple(
        "bgpsvc_tls_certificate_expiry_timestamp_seconds", {}, "1000000x40", "2000000x40"
    ),
    "BgpsvcTokenExpiring": Case(
        "30m",
        token("500000x40", "-900000x40"),
        TOKEN,
        (
            token("800000x40", "-900000x40"),
            token("600x40", "-2000000x40"),
            # Made for a day, as by `bgpsvc dashboard`.
            token("43200x40", "0x40"),
        ),
    ),
}
