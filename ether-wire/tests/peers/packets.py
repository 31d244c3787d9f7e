"""Random frames of one kind, made by scapy: packets.py KIND COUNT writes one JSON object per line."""
import json
import random
import sys

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption, IPOption_MTU_Probe, IPOption_Router_Alert, IPOption_Stream_Id
from scapy.layers.inet6 import (
    ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

bits = random.getrandbits
EXPERIMENT = 253


def chance():
    return bool(bits(1))


def mac():
    return ":".join(f"{bits(8):02x}" for _ in range(6))


def ipv4_address():
    return ".".join(str(bits(8)) for _ in range(4))


def ipv6_address():
    # A documentation prefix, and never a run of zeros, so that there is one way to write it.
    return "2001:db8:" + ":".join(f"{random.randrange(1, 65536):x}" for _ in range(6))


def link():
    """Ethernet with up to four tags, of 802.1ad and 802.1Q in any order."""
    tags = [{"type": random.choice([0x8100, 0x88A8]), "id": bits(12), "priority": bits(3), "drop_eligible": chance()}
            for _ in range(random.randrange(5))]
    f = {"destination": mac(), "source": mac(), "tags": tags}
    types = [tag["type"] for tag in tags]
    frame = Ether(dst=f["destination"], src=f["source"], **({"type": types[0]} if types else {}))
    for place, tag in enumerate(tags):
        make = Dot1AD if tag["type"] == 0x88A8 else Dot1Q
        behind = {"type": types[place + 1]} if place + 1 < len(types) else {}
        frame /= make(vlan=tag["id"], prio=tag["priority"], id=int(tag["drop_eligible"]), **behind)
    return frame, f


def typed(frame, ether_type):
    frame.lastlayer().type = ether_type
    return frame


def data():
    return Raw(random.randbytes(random.randrange(1, 60)))


def ethernet(frame):
    return typed(frame, 0x88B5) / data(), {}


def ipv4(frame):
    options, made = [], []
    for _ in range(random.randrange(6)):
        value = bits(16)
        kind, option = random.choice([
            (148, IPOption_Router_Alert(alert=value)), (136, IPOption_Stream_Id(security=value)),
            (11, IPOption_MTU_Probe(mtu=value)), (1, IPOption(copy_flag=0, optclass=0, option=1, length=0, value=b""))])
        if kind == 1:
            option = b"\x01"
        else:
            options.append({"kind": kind, "data": list(value.to_bytes(2, "big"))})
            option = bytes(option)
        made.append(option)
    area = b"".join(made)
    area += bytes(-len(area) % 4)
    f = {"dscp": bits(6), "ecn": bits(2), "identification": bits(16), "reserved": chance(), "dont_fragment": chance(),
         "more_fragments": chance(), "fragment_offset": bits(13), "ttl": bits(8), "source": ipv4_address(),
         "destination": ipv4_address(), "options": options}
    flags = 4 * f["reserved"] + 2 * f["dont_fragment"] + f["more_fragments"]
    packet = IP(tos=f["dscp"] << 2 | f["ecn"], id=f["identification"], flags=flags, frag=f["fragment_offset"],
                ttl=f["ttl"], proto=EXPERIMENT, src=f["source"], dst=f["destination"],
                options=[IPOption(area)] if area else [])
    payload = data()
    f["payload"] = len(payload)
    f["header_length"] = 20 + len(area)
    return typed(frame, 0x0800) / packet / payload, f


def ipv6(frame):
    units = {kind: bits(2) if chance() else None for kind in ("hop_by_hop", "destination", "routing")}
    f = {"dscp": bits(6), "ecn": bits(2), "flow_label": bits(20), "hop_limit": bits(8), "source": ipv6_address(),
         "destination": ipv6_address(), "fragment": None}
    chain = []
    if units["hop_by_hop"] is not None:
        chain.append((0, IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(8 * units["hop_by_hop"] + 4))])))
    if units["destination"] is not None:
        chain.append((60, IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(8 * units["destination"] + 4))])))
    if units["routing"] is not None:
        addresses = [ipv6_address() for _ in range(units["routing"])]
        chain.append((43, IPv6ExtHdrRouting(type=EXPERIMENT, segleft=0, addresses=addresses)))
    if chance():
        f["fragment"] = {"reserved": bits(8), "offset": bits(13), "reserved2": bits(2), "more_fragments": chance(),
                         "identification": bits(32)}
        g = f["fragment"]
        chain.append((44, IPv6ExtHdrFragment(res1=g["reserved"], offset=g["offset"], res2=g["reserved2"],
                                             m=int(g["more_fragments"]), id=g["identification"])))
    packet = IPv6(tc=f["dscp"] << 2 | f["ecn"], fl=f["flow_label"], hlim=f["hop_limit"], src=f["source"],
                  dst=f["destination"])
    for place, (_, header) in enumerate(chain):
        header.nh = chain[place + 1][0] if place + 1 < len(chain) else EXPERIMENT
    packet.nh = chain[0][0] if chain else EXPERIMENT
    for _, header in chain:
        packet /= header
    payload = data()
    f["payload"] = len(payload)
    f["extension_headers"] = sum(len(bytes(header.copy())) for _, header in chain)
    return typed(frame, 0x86DD) / packet / payload, f


def ip(frame):
    """IPv4 or IPv6, whose addresses are in the checksum of what is behind it."""
    if chance():
        return typed(frame, 0x86DD) / IPv6(src=ipv6_address(), dst=ipv6_address())
    return typed(frame, 0x0800) / IP(src=ipv4_address(), dst=ipv4_address())


def udp(frame):
    f = {"source_port": bits(16), "destination_port": bits(16)}
    payload = data()
    f["payload"] = len(payload)
    return ip(frame) / UDP(sport=f["source_port"], dport=f["destination_port"]) / payload, f


def tcp(frame):
    f = {"source_port": bits(16), "destination_port": bits(16), "sequence_number": bits(32),
         "acknowledgment_number": bits(32), "reserved": bits(3), "flags": bits(8), "window": bits(16),
         "urgent_pointer": bits(16)}
    options, f["options"] = [], []
    for _ in range(random.randrange(4)):
        mss, shift, times = bits(16), bits(4), (bits(32), bits(32))
        option, kind, content = random.choice([
            (("MSS", mss), 2, mss.to_bytes(2, "big")), (("WScale", shift), 3, bytes([shift])),
            (("SAckOK", b""), 4, b""), (("NOP", None), 1, None),
            (("Timestamp", times), 8, b"".join(time.to_bytes(4, "big") for time in times))])
        options.append(option)
        if content is not None:
            f["options"].append({"kind": kind, "data": list(content)})
    segment = TCP(sport=f["source_port"], dport=f["destination_port"], seq=f["sequence_number"],
                  ack=f["acknowledgment_number"], reserved=f["reserved"], flags=f["flags"], window=f["window"],
                  urgptr=f["urgent_pointer"], options=options)
    payload = data()
    f["payload"] = len(payload)
    return ip(frame) / segment / payload, f


def arp(frame):
    f = {"operation": bits(16), "sender_mac": mac(), "sender_ip": ipv4_address(), "target_mac": mac(),
         "target_ip": ipv4_address()}
    packet = ARP(op=f["operation"], hwsrc=f["sender_mac"], psrc=f["sender_ip"], hwdst=f["target_mac"],
                 pdst=f["target_ip"])
    return typed(frame, 0x0806) / packet, f


def nd(frame):
    f = {"solicitation": chance(), "source": ipv6_address(), "destination": ipv6_address(), "target": ipv6_address(),
         "router": chance(), "solicited": chance(), "override": chance(), "mac": mac() if chance() else None}
    packet = IPv6(src=f["source"], dst=f["destination"], hlim=255)
    if f["solicitation"]:
        packet /= ICMPv6ND_NS(tgt=f["target"])
        option = ICMPv6NDOptSrcLLAddr
    else:
        packet /= ICMPv6ND_NA(tgt=f["target"], R=int(f["router"]), S=int(f["solicited"]), O=int(f["override"]))
        option = ICMPv6NDOptDstLLAddr
    if f["mac"] is not None:
        packet /= option(lladdr=f["mac"])
    return typed(frame, 0x86DD) / packet, f


def too_big(frame):
    f = {"ipv6": chance(), "mtu": bits(16), "quoted": random.randrange(28, 500)}
    quoted = Raw(random.randbytes(f["quoted"]))
    if f["ipv6"]:
        f["mtu"] |= bits(16) << 16
        packet = IPv6(src=ipv6_address(), dst=ipv6_address()) / ICMPv6PacketTooBig(mtu=f["mtu"]) / quoted
        return typed(frame, 0x86DD) / packet, f
    packet = IP(src=ipv4_address(), dst=ipv4_address()) / ICMP(type=3, code=4, nexthopmtu=f["mtu"]) / quoted
    return typed(frame, 0x0800) / packet, f


make = {"ethernet": ethernet, "ipv4": ipv4, "ipv6": ipv6, "udp": udp, "tcp": tcp, "arp": arp, "nd": nd,
        "too_big": too_big}[sys.argv[1]]
for _ in range(int(sys.argv[2])):
    frame, stations = link()
    frame, fields = make(frame)
    print(json.dumps(stations | {"fields": fields, "bytes": bytes(frame).hex()}))
