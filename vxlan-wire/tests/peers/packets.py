"""Random packets of one kind, made by scapy: packets.py KIND COUNT writes one JSON object per line."""
import json
import random
import sys

from scapy.contrib.geneve import GENEVE, GeneveOptions
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

bits = random.getrandbits


def frame():
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x88B5) / Raw(random.randbytes(random.randrange(40)))


def chance():
    return bool(bits(1))


def vxlan():
    # Neither 0x80 nor 0x04: scapy would read and write Group Policy or Generic Protocol Extension.
    f = {"flags": bits(8) & 0x73 | 0x08, "reserved": bits(24), "vni": bits(24), "reserved2": bits(8)}
    return VXLAN(flags=f["flags"], reserved1=f["reserved"], vni=f["vni"], reserved2=f["reserved2"]), f


def gbp():
    f = {"flags": 0x88, "id": bits(16), "dont_learn": chance(), "policy_applied": chance(), "vni": bits(24)}
    flags = (0x40 if f["dont_learn"] else 0) | (0x08 if f["policy_applied"] else 0)
    return VXLAN(flags=0x88, gpflags=flags, gpid=f["id"], vni=f["vni"]), f


def gpe():
    f = {"bum": chance(), "oam": chance(), "next_protocol": bits(8), "reserved": bits(16), "vni": bits(24)}
    flags = 0x0C | (2 if f["bum"] else 0) | (1 if f["oam"] else 0)
    return VXLAN(flags=flags, reserved0=f["reserved"], NextProtocol=f["next_protocol"], vni=f["vni"]), f


def geneve():
    options, room = [], 63
    for _ in range(random.randrange(6)):
        words = random.randrange(min(32, room)) if room > 1 else 0
        room -= 1 + words
        if room < 0:
            break
        data = random.randbytes(4 * words)
        options.append({"class": bits(16), "type": bits(8), "reserved": bits(3), "data": list(data)})
    critical = any(option["type"] & 0x80 for option in options)
    f = {"control": chance(), "critical": critical, "reserved": bits(6), "protocol_type": random.choice([0x6558, 0x88B5]),
         "vni": bits(24), "reserved2": bits(8), "options": options}
    # Lengths are given: without them scapy loses the reserved bits of an option.
    made = [GeneveOptions(classid=o["class"], type=o["type"], reserved=o["reserved"], length=len(o["data"]) // 4,
                          data=bytes(o["data"])) for o in options]
    length = sum(1 + len(o["data"]) // 4 for o in options)
    return GENEVE(optionlen=length, oam=int(f["control"]), critical=int(critical), reserved=f["reserved"],
                  proto=f["protocol_type"], vni=f["vni"], reserved2=f["reserved2"], options=made), f


def nvgre():
    f = {"vsid": random.randrange(0x1000, 0xFFFFFF), "flow_id": bits(8)}
    return GRE(key_present=1, proto=0x6558, key=f["vsid"] << 8 | f["flow_id"]), f


def gre():
    f = {"protocol_type": bits(16), "checksum": chance(), "key": bits(32) if chance() else None,
         "sequence_number": bits(32) if chance() else None}
    return GRE(chksum_present=int(f["checksum"]), key_present=int(f["key"] is not None), key=f["key"],
               seqnum_present=int(f["sequence_number"] is not None), sequence_number=f["sequence_number"],
               proto=f["protocol_type"]), f


make = {"vxlan": vxlan, "gbp": gbp, "gpe": gpe, "geneve": geneve, "nvgre": nvgre, "gre": gre}[sys.argv[1]]
for _ in range(int(sys.argv[2])):
    header, fields = make()
    inner = bytes(frame())
    # As bytes: scapy would set the protocol by the layer that follows.
    print(json.dumps(fields | {"inner": len(inner), "bytes": bytes(header / Raw(inner)).hex()}))
