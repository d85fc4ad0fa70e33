"""`bgpsvc show tunnels` and `show tunnel ID`: IKE and IPsec, as engineers look at them first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, TextIO

import typer

from bgpsvc.cli import complete
from bgpsvc.cli.client import Json, path_to
from bgpsvc.cli.columns import TUNNELS, detection, ipsec_status
from bgpsvc.cli.options import Output, Server, Watch, make_client
from bgpsvc.cli.output import (
    Column,
    Format,
    Table,
    duration,
    may_colour,
    paint,
    plain,
    remaining,
    run,
    times,
    write_list,
    write_one,
)

UP = "ipsec_sa_established"


def algorithms(encryption: str | None, authentication: str | None, group: str | None) -> str | None:
    """As `aes256-sha256-group14`; None if nothing was agreed on."""
    return "-".join(part for part in (encryption, authentication, group) if part) or None


def _ike(tunnel: Json) -> Json | None:
    found: Json | None = None if tunnel["ipsec"] is None else tunnel["ipsec"]["ike"]
    return found


def _child(tunnel: Json) -> Json | None:
    """The CHILD_SA in use: the newest."""
    ike = _ike(tunnel)
    return ike["children"][-1] if ike and ike["children"] else None


def _of_ike(tunnel: Json) -> str | None:
    ike = _ike(tunnel)
    return None if ike is None else algorithms(ike["encryption"], ike["authentication"], ike["group"])


def _of_child(tunnel: Json) -> str | None:
    child = _child(tunnel)
    return None if child is None else algorithms(child["encryption"], child["authentication"], child["pfs"])


def _traffic(way: str) -> Column:
    def of(tunnel: Json) -> int | None:
        child = _child(tunnel)
        return None if child is None else child[f"bytes_{way}"]

    return Column(f"BYTES {way.upper()}", f"ipsec.ike.children.bytes_{way}", right=True, of=of)


def _since(tunnel: Json) -> str | None:
    return None if tunnel["ipsec"] is None else duration(tunnel["ipsec"]["since"])


SUMMARY = (
    Column("TUNNEL", "id"),
    Column("ROLE", "role"),
    Column("REMOTE", "remote_address"),
    Column("IPSEC", "ipsec.status", of=ipsec_status, good=(UP,)),
    Column("FOR", "ipsec.since", right=True, of=_since),
    _traffic("in"),
    _traffic("out"),
    Column("SESSION", "session_state", good=("established",)),
    Column("STATE", "state", good=("live",)),
    Column("TRAFFIC", "carrying"),
    Column("DETECTION", "detection", of=detection),
    Column("IKE", "ipsec.ike.encryption", of=_of_ike, wide=True),
    Column("ESP", "ipsec.ike.children.encryption", of=_of_child, wide=True),
    Column("DRIVER", "ipsec.driver", wide=True),
    Column("INTERFACE", "interface", wide=True),
    Column("MTU", "ipsec.mtu", right=True, wide=True),
)


def tunnels(
    ctx: typer.Context, output: Output = Format.TABLE, watch: Watch = False, server: Server = None
) -> None:
    """One line per tunnel: IPsec status, traffic, BGP session; below it what is wrong.

    IPSEC is the cloud's status: the first that is not so names the layer to look at. `external` is a tunnel
    that somebody else makes. BYTES count since the IPsec SA was made or replaced. DETECTION is the fastest
    way in force in which the death of the path is noticed, and its worst case.
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        if output not in (Format.TABLE, Format.WIDE):
            write_list(client.pages("/v1/tunnels"), TUNNELS, output, out)
            return
        found = client.items("/v1/tunnels")
        wide = output is Format.WIDE
        Table([c for c in SUMMARY if wide or not c.wide], out, may_colour(sys.stdout)).write(found)
        made = [tunnel for tunnel in found if tunnel["ipsec"] is not None]
        down = [tunnel for tunnel in made if tunnel["ipsec"]["status"] != UP]
        out.write("\n" if down else "")
        out.writelines(f"{tunnel['id']}: {_trouble(tunnel['ipsec'])}\n" for tunnel in down)
        external = len(found) - len(made)
        more = f", external {external}" if external else ""
        out.write(f"\nTotal number of tunnels {len(found)}, established {len(made) - len(down)}{more}\n")

    run(draw, watch)


def _trouble(ipsec: Json) -> str:
    """Why a tunnel is down, and what comes next."""
    error, retry = ipsec["last_error"], ipsec["retry_at"]
    why = str(ipsec["reason"])
    if error is not None:
        why = f"{error['text']} ({error['cause']}){_sides(error)}, {duration(error['time'])} ago"
    return why + (f"; next attempt in {remaining(retry)}" if retry else "")


def _sides(error: Json) -> str:
    if error["local"] is None and error["remote"] is None:
        return ""
    return f", here {plain(error['local'])}, there {plain(error['remote'])}"


def tunnel(
    ctx: typer.Context,
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the tunnel, as conn1-tunnel1.", autocompletion=complete.tunnels
        ),
    ],
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """Everything about one tunnel: detection, IPsec, its SAs, the last error, the BGP session's state.

    Example: bgpsvc show tunnel conn1-tunnel1
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        found = client.get(path_to("tunnels", id))
        write_one(found, [found], TUNNELS, output, lambda: _tunnel(found, may_colour(sys.stdout)), out)

    run(draw, watch)


def _tunnel(t: Json, colour: bool) -> Iterator[str]:
    state = paint(t["state"], ("live",)) if colour else t["state"]
    carrying = "traffic takes it" if t["carrying"] else "traffic does not take it"
    yield f"Tunnel {t['id']}, tunnel {t['tunnel']} ({t['role']}) of {t['connection']} at {t['gateway']}"
    yield f"  State      {state} for {duration(t['since'])}, {carrying}: {t['state_reason']}"
    yield f"  Interface  {t['interface']}, {'up' if t['link_up'] else 'down'}, {_addresses(t)}"
    if t["session_state"] is not None:
        yield f"  BGP        {t['session_state']}"
    yield from _detection(t)
    if t["health"] is not None:
        yield f"  Health     {t['health']}: {t['health_reason']}"
    if t["ipsec"] is None:
        yield f"  IPsec      external: somebody else makes it, to {t['remote_address']}"
    else:
        yield from _ipsec(t["ipsec"], t["remote_address"], colour)


def _detection(t: Json) -> Iterator[str]:
    for number, one in enumerate(t["detection"]):
        worst = "not in force" if one["worst_case_ms"] is None else f"within {one['worst_case_ms']} ms"
        title = "" if number else "Detection"
        yield f"  {title:10} {one['method']}, {one['state']}, {worst}: {one['reason']}"
    b = t["bfd"]
    if b is not None:
        here, there = f"{b['state']} ({b['diagnostic']})", f"{b['remote_state']} ({b['remote_diagnostic']})"
        yield f"  BFD        here {here}, there {there}, for {duration(b['since'])}, {b['flaps']} flaps"
        yield f"    Timers   sends every {b['transmit_ms']:g} ms, hears every {b['receive_ms']:g} ms"
        refused = f", {b['rejected']} refused, the last: {b['last_rejected']}" if b["rejected"] else ""
        yield f"    Packets  {b['sent']} sent, {b['received']} received{refused}"
    damped = ", longer as it keeps failing" if t["flapping"] else ""
    yield f"  Failback   after {t['hold_down']:g} s{damped}"


def _addresses(t: Json) -> str:
    if t["local_address"] is None:
        return "no addresses"
    return f"{t['local_address']} to {t['peer_address']}"


def _ipsec(s: Json, remote: str, colour: bool) -> Iterator[str]:
    status = paint(s["status"], (UP,)) if colour else s["status"]
    mtu = "" if s["mtu"] is None else f", MTU {s['mtu']}"
    yield f"  IPsec      {status} for {duration(s['since'])}: {s['reason']}"
    yield f"  Made by    {s['driver']}{mtu}; the peer is {remote}"
    replaced = f", SAs replaced {times(s['rekey_count'])}"
    yield f"  History    established {times(s['established_count'])}{replaced}"
    ike = s["ike"]
    if ike is None:
        yield "  IKE SA     none"
    else:
        yield from _ike_sa(ike)
    error = s["last_error"]
    if error is None:
        yield "  Last error none"
    else:
        before = "before: " if s["status"] == UP else ""
        text = f"{error['text']} ({error['cause']}){_sides(error)}"
        yield f"  Last error {before}{text}, {duration(error['time'])} ago"
    if s["retry_at"] is not None:
        yield f"  Next       attempt in {remaining(s['retry_at'])}"


def _ike_sa(ike: Json) -> Iterator[str]:
    began = "begun by us" if ike["initiator"] else "begun by the peer"
    agreed = algorithms(ike["encryption"], ike["authentication"], ike["group"])
    yield f"  IKE SA     {ike['version']} #{ike['unique_id']}, {ike['state']}, {began}, {plain(agreed)}"
    yield f"    Local    {ike['local_address']}:{ike['local_port']}, id {ike['local_id']}"
    yield f"    Remote   {ike['remote_address']}:{ike['remote_port']}, id {ike['remote_id']}"
    yield f"    SPIs     {ike['spi_initiator']} initiator, {ike['spi_responder']} responder"
    if ike["established_at"] is not None:
        yield f"    Age      {duration(ike['established_at'])}, {_rekeyed(ike['rekey_at'])}"
    for child in ike["children"]:
        yield from _child_sa(child)


def _rekeyed(at: str | None) -> str:
    return "never replaced" if at is None else f"replaced in {remaining(at)}"


def _child_sa(c: Json) -> Iterator[str]:
    way = "ESP in UDP" if c["encapsulated"] else "ESP"
    agreed = algorithms(c["encryption"], c["authentication"], c["pfs"])
    yield f"  IPsec SA   #{c['unique_id']}, {c['state']}, {way}, {agreed}"
    yield f"    SPIs     {c['spi_in']} in, {c['spi_out']} out"
    yield f"    Networks {plain(c['local_selectors'])} to {plain(c['remote_selectors'])}"
    yield (
        f"    Traffic  in {c['bytes_in']} bytes, {c['packets_in']} packets; "
        f"out {c['bytes_out']} bytes, {c['packets_out']} packets"
    )
    expires = "" if c["expires_at"] is None else f", ends in {remaining(c['expires_at'])}"
    yield f"    Age      {duration(c['installed_at'])}, {_rekeyed(c['rekey_at'])}{expires}"
