"""`bgpsvc show`: what an engineer looks at first, in the form that routers use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, TextIO

import typer

from bgpsvc.cli import complete, show_bmp, show_history, show_tunnels
from bgpsvc.cli.client import Client, Json, path_to
from bgpsvc.cli.columns import SESSIONS, last_error, on_off
from bgpsvc.cli.errors import CliError
from bgpsvc.cli.options import (
    HELP,
    GatewayOption,
    Output,
    Server,
    Watch,
    make_client,
    route_query,
    the_only,
)
from bgpsvc.cli.output import (
    Column,
    Format,
    Table,
    duration,
    may_colour,
    paint,
    plain,
    run,
    times,
    write_list,
    write_one,
)

app = typer.Typer(
    no_args_is_help=True,
    context_settings=HELP,
    help="Show the BGP summary, tunnels and their traffic, a session, or a route with all candidates.\n\n"
    "Examples:\n\n"
    "  bgpsvc show bgp summary --watch\n\n"
    "  bgpsvc show tunnels\n\n"
    "  bgpsvc show tunnel conn1-tunnel1\n\n"
    "  bgpsvc show history conn1-tunnel1\n\n"
    "  bgpsvc show session conn1-tunnel1\n\n"
    "  bgpsvc show route 192.168.10.7",
)
bgp = typer.Typer(no_args_is_help=True, context_settings=HELP, help="BGP of all gateways.")
app.add_typer(bgp, name="bgp")
app.command("tunnels", short_help="One line per tunnel: IPsec, traffic, BGP.")(show_tunnels.tunnels)
app.command("tunnel", short_help="Everything about one tunnel: SAs, last error.")(show_tunnels.tunnel)
app.command("bmp", short_help="BMP monitoring stations: state, what waits.")(show_bmp.bmp)
app.command("history", short_help="What a tunnel carried lately, as a chart.")(show_history.history)


def _up_down(session: Json) -> str:
    """How long the session has been up or down; `never` if it was not up yet."""
    ever = session["state"] == "established" or session["established_count"] > 0
    return duration(session["since"]) if ever else "never"


def _state_or_prefixes(session: Json) -> str:
    """One cell for both, as routers have it: a number means Established."""
    state = str(session["state"])
    return str(session["prefixes"]["received"]) if state == "established" else state.capitalize()


NEIGHBOURS = (
    Column("NEIGHBOR", "peer_address"),
    Column("AS", "peer_asn", right=True),
    Column("UPDATES", "messages.updates_received", right=True),
    Column("UP/DOWN", "since", right=True, of=_up_down),
    Column("STATE/PFXRCD", "state", right=True, of=_state_or_prefixes),
    Column("PFXACC", "prefixes.accepted", right=True),
    Column("PFXSNT", "prefixes.advertised", right=True),
    Column("FLAPS", "flap_count", right=True),
    Column("TUNNEL", "id"),
    Column("ROLE", "role"),
    Column("LOCAL", "local_address", wide=True),
    Column("INTERFACE", "interface", wide=True),
    Column("HOLD", "negotiated.hold_time", wide=True, right=True),
    Column("LAST ERROR", "last_error.text", wide=True, of=last_error),
)


@bgp.command(short_help="One line per neighbour, as routers show it.")
def summary(
    ctx: typer.Context, output: Output = Format.TABLE, watch: Watch = False, server: Server = None
) -> None:
    """One line per neighbour: the prefixes received, or the state if the session is not established.

    UP/DOWN is the time since the session came up or went down; PFXACC are the prefixes that the import
    policy accepts, PFXSNT those advertised to the peer.
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        if output not in (Format.TABLE, Format.WIDE):
            write_list(client.pages("/v1/bgp-sessions"), SESSIONS, output, out)
            return
        sessions = client.items("/v1/bgp-sessions")
        connections = client.items("/v1/vpn-connections")
        gateways = client.items("/v1/vpn-gateways")
        if not gateways:
            typer.echo("there is no VPN gateway", err=True)
        for number, gateway in enumerate(gateways):
            out.write("\n" if number else "")
            _summary(
                gateway,
                [c for c in connections if c["gateway"] == gateway["name"]],
                [s for s in sessions if s["gateway"] == gateway["name"]],
                output is Format.WIDE,
                out,
            )

    run(draw, watch)


def _summary(gateway: Json, connections: list[Json], sessions: list[Json], wide: bool, out: TextIO) -> None:
    out.write(
        f"VPN gateway {gateway['name']} ({', '.join(gateway['addresses'])}), VPC {gateway['vpc']}, "
        f"propagation {on_off(gateway['auto_propagate'])}\n"
    )
    for connection in connections:
        carrying = connection["carrying"]
        over = f"traffic over {carrying}" if carrying else "no live tunnel"
        out.write(
            f"Connection {connection['name']}: local AS number {connection['local_asn']}, "
            f"mode {connection['mode']}, {over}\n"
        )
        out.write(_choice(connection))
    out.write("\n")
    colour = may_colour(sys.stdout)
    Table([column for column in NEIGHBOURS if wide or not column.wide], out, colour).write(sessions)
    down = [session for session in sessions if session["state"] != "established"]
    failed = [session for session in down if session["last_error"]]
    out.write("\n" if failed else "")
    for session in failed:
        out.write(f"{session['peer_address']} last failed: {_error(session['last_error'])}\n")
    up = len(sessions) - len(down)
    out.write(f"\nTotal number of neighbors {len(sessions)}, established {up}\n")


def _choice(connection: Json) -> str:
    """Who took a tunnel out of use and what for; nothing in mode auto."""
    choice = connection["choice"]
    if choice is None:
        return ""
    said = "" if choice["by"] is None else f" by {choice['by']} {duration(choice['at'])} ago"
    reason = "" if choice["reason"] is None else f": {choice['reason']}"
    return f"  Chosen{said}{reason}; until `bgpsvc switch {connection['name']} auto`\n"


@app.command()
def session(
    ctx: typer.Context,
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="Id of the session, as conn1-tunnel1.", autocompletion=complete.sessions
        ),
    ],
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """Everything about one BGP session.

    Example: bgpsvc show session conn1-tunnel1
    """
    client = make_client(ctx, server)

    def draw(out: TextIO) -> None:
        found = client.get(path_to("bgp-sessions", id))
        write_one(found, [found], SESSIONS, output, lambda: _session(found, may_colour(sys.stdout)), out)

    run(draw, watch)


def _session(s: Json, colour: bool) -> Iterator[str]:
    """A session in paragraphs, like `show bgp neighbor`."""
    state = paint(s["state"], ("established",)) if colour else s["state"]
    yield f"BGP session {s['id']}, tunnel {s['tunnel']} ({s['role']}) of {s['connection']} at {s['gateway']}"
    yield f"  Local      {s['local_address']}, AS {s['local_asn']}, interface {s['interface']}"
    yield f"  Peer       {s['peer_address']}, AS {s['peer_asn']}"
    yield f"  State      {state} for {duration(s['since'])}, since {s['since']}"
    yield f"  History    established {times(s['established_count'])}, flapped {times(s['flap_count'])}"
    yield from _negotiated(s)
    p, m = s["prefixes"], s["messages"]
    stale = f", {p['stale']} stale" if p["stale"] else ""
    yield (
        f"  Prefixes   {p['received']} received: {p['accepted']} accepted, {p['rejected']} rejected "
        f"({p['shed']} shed){stale}; {p['advertised']} advertised"
    )
    rib = "received for every family" if s["end_of_rib"] else "not yet received for every family"
    yield f"  End-of-RIB {rib}"
    yield (
        f"  Messages   {m['updates_received']} updates, {m['prefixes_announced']} announcements, "
        f"{m['prefixes_withdrawn']} withdrawals, {m['treated_as_withdraw']} malformed, {m['lost']} lost"
    )
    yield f"  NOTIFICATION {m['notifications_sent']} sent, {m['notifications_received']} received"
    before = "before: " if s["last_error"] and s["state"] == "established" else ""
    yield f"  Last error {before}{_error(s['last_error'])}"


def _negotiated(s: Json) -> Iterator[str]:
    n = s["negotiated"]
    if n is None:
        yield f"  Negotiated nothing: not established (configured hold time {s['hold_time_configured']} s)"
        return
    yield (
        f"  Negotiated hold time {n['hold_time']} s (configured {s['hold_time_configured']} s), "
        f"{plain(n['families'])}, messages up to {n['message_size']} bytes"
    )
    if n["graceful_restart_time"] is None:
        yield "  Restart    the peer has no graceful restart"
    else:
        kept = plain(n["graceful_restart_families"])
        yield f"  Restart    graceful, {n['graceful_restart_time']} s, forwarding kept for {kept}"
    yield f"  Peer says  router id {plain(n['peer_router_id'])}, AS {plain(n['peer_asn'])}"
    yield f"  Capable of {', '.join(n['peer_capabilities']) or 'nothing'}"


def _error(error: Json | None) -> str:
    if error is None:
        return "none"
    code = ""
    # The speaker's text often names the NOTIFICATION already.
    if error["code"] is not None and "notification" not in error["text"].lower():
        code = f" (NOTIFICATION {error['code']}/{error['subcode']} {error['direction']})"
    return f"{error['text']}{code}, {duration(error['time'])} ago"


@app.command(short_help="A route with all its candidates, and why each lost.")
def route(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="A prefix, or an address: its best match.")],
    gateway: GatewayOption = None,
    output: Output = Format.TABLE,
    watch: Watch = False,
    server: Server = None,
) -> None:
    """One route with all its candidates, best first, and why each loser lost.

    Examples:

      bgpsvc show route 192.168.0.0/16

      bgpsvc show route 192.168.10.7
    """
    client = make_client(ctx, server)
    name = the_only(client, "/v1/vpn-gateways", "VPN gateway", "--gateway", gateway)

    def draw(out: TextIO) -> None:
        found = _find(client, name, prefix)
        write_one(
            found, found["candidates"], CANDIDATES, output, lambda: _route(found, may_colour(sys.stdout)), out
        )

    run(draw, watch)


CANDIDATES = tuple(
    Column(key.upper(), key)
    for key in (
        "rank",
        "session",
        "role",
        "next_hop",
        "as_path",
        "origin",
        "local_pref",
        "med",
        "communities",
        "large_communities",
        "extended_communities",
        "stale",
        "in_use",
        "reason",
    )
)


def _find(client: Client, gateway: str, prefix: str) -> Json:
    items = client.get(path_to("vpn-gateways", gateway, "routes"), route_query(prefix))["items"]
    if not items:
        raise CliError(
            f"{gateway} has learned no route to {prefix}; `bgpsvc get routes {prefix} --covering` "
            "lists wider ones"
        )
    found: Json = items[0]
    return found


def _route(r: Json, colour: bool) -> Iterator[str]:
    state = paint(r["state"], ("installed",)) if colour else r["state"]
    yield f"Route {r['prefix']} of VPN gateway {r['gateway']}, VPC {r['vpc']}"
    over = f" over {r['session']}, interface {r['interface']}" if r["state"] == "installed" else ""
    yield f"  State: {state}{over}" + (f": {r['reason_text']} ({r['reason']})" if r["reason"] else "")
    if r["nexthop_group"] is not None:
        yield f"  Nexthop group: {r['nexthop_group']}"
    count = len(r["candidates"])
    yield f"  {count} path{'' if count == 1 else 's'}, best first:"
    for candidate in r["candidates"]:
        yield from _candidate(candidate)


def _candidate(c: Json) -> Iterator[str]:
    marks = ("in use" if c["in_use"] else "") + (", stale" if c["stale"] else "")
    rank = "-" if c["rank"] is None else str(c["rank"])
    yield f"  {rank:>3}  {c['session']} ({c['role']})" + (f", {marks.strip(', ')}" if marks else "")
    med = "" if c["med"] is None else f", MED {c['med']}"
    yield (
        f"       next hop {c['next_hop']}, AS path {c['as_path'] or 'empty'}, origin {c['origin']}, "
        f"local preference {c['local_pref']}{med}"
    )
    communities = c["communities"] + c["large_communities"] + c["extended_communities"]
    if communities:
        yield f"       communities {' '.join(communities)}"
    if c["reason"]:
        verdict = "refused" if c["rank"] is None else "not used"
        yield f"       {verdict}: {c['reason_text']} ({c['reason']})"
