//! The answer to any frame that its packet is too big.

#![no_main]

use ether_wire::{
    DecodeOptions, EncodeError, EtherType, EthernetHeader, IpProtocol, Ipv4Header, Ipv6Header,
    checksum::Sum,
    ethernet,
    icmp::{self, IcmpHeader},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((mtu, frame)) = bytes.split_first_chunk() else { return };
    let mtu = u16::from_be_bytes(*mtu);
    // One byte more than the longest, to see that it stays.
    let mut buffer = [0xaa; icmp::MAX_TOO_BIG_LEN + 1];
    let Ok(length) = icmp::too_big(frame, mtu, &mut buffer) else { return };
    assert!(length <= icmp::MAX_TOO_BIG_LEN && buffer[length..].iter().all(|byte| *byte == 0xaa));
    let answer = &buffer[..length];

    // No more room than that is needed, and with less nothing is written.
    let mut short = vec![0xaa; length - 1];
    let error = EncodeError::BufferTooSmall { needed: length, available: length - 1 };
    assert_eq!(icmp::too_big(frame, mtu, &mut short), Err(error));
    assert!(short.iter().all(|byte| *byte == 0xaa));
    assert_eq!(icmp::too_big(frame, mtu, &mut vec![0; length]), Ok(length));

    let [theirs, ours] = [frame, answer].map(|frame| ethernet::payload(frame).expect("a frame"));
    assert_eq!(theirs, ours);
    assert_eq!((&answer[..6], &answer[6..12]), (&frame[6..12], &frame[..6]));
    assert_eq!(answer[12..ours.offset], frame[12..ours.offset]);
    let [packet, reply] = [frame, answer].map(|frame| &frame[ours.offset..]);
    let (message, pseudo_header, limit) = if ours.ether_type == EtherType::IPV4 {
        let packet = Ipv4Header::decode_with(packet, DecodeOptions::LENGTHS).expect("it was answered");
        let reply = Ipv4Header::decode_with(reply, DecodeOptions::STRICT).expect("our own");
        assert_eq!(reply.header.source(), packet.header.destination());
        assert_eq!(reply.header.destination(), packet.header.source());
        assert_eq!(reply.header.protocol(), IpProtocol::ICMP);
        assert!(packet.header.dont_fragment() && packet.header.fragment_offset() == 0);
        (reply.payload, Sum::ZERO, icmp::MAX_IPV4_ERROR_LEN)
    } else {
        let packet = Ipv6Header::decode(packet).expect("it was answered");
        let reply = Ipv6Header::decode(reply).expect("our own");
        assert_eq!(reply.header.source(), packet.header.destination());
        assert_eq!(reply.header.destination(), packet.header.source());
        assert_eq!(reply.protocol, IpProtocol::ICMPV6);
        let pseudo_header = reply.header.pseudo_header(reply.protocol, reply.payload.len() as u32);
        (reply.payload, pseudo_header, icmp::MAX_IPV6_ERROR_LEN)
    };
    assert!(reply.len() <= limit);
    let (header, quoted) = IcmpHeader::from_prefix(message).expect("our own");
    assert!(header.is_checksum_valid(pseudo_header, quoted));
    assert_eq!(header.data(), u32::from(mtu));
    assert!(packet.starts_with(quoted));
    // Nobody answers an error: no storm between two endpoints.
    assert_eq!(icmp::too_big(answer, mtu, &mut [0; icmp::MAX_TOO_BIG_LEN]), Err(EncodeError::IcmpError));
    assert!(EthernetHeader::from_prefix(answer).expect("a frame").0.source().is_unicast());
});
