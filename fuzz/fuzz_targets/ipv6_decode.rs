//! Any bytes as an IPv6 packet with extension headers.

#![no_main]

use ether_wire::{
    DecodeError, IpProtocol, Ipv6Header,
    ipv6::{self, FragmentHeader, MAX_EXTENSION_HEADERS},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let found = Ipv6Header::decode(bytes);
    let Some(fixed) = bytes.first_chunk::<40>() else {
        assert_eq!(found, Err(DecodeError::Truncated { needed: 40, available: bytes.len() }));
        return;
    };
    let payload_length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if fixed[0] >> 4 != 6 {
        assert_eq!(found, Err(DecodeError::Version { expected: 6, found: fixed[0] >> 4 }));
        return;
    }
    let Some(behind) = bytes[40..].get(..payload_length) else {
        let needed = 40 + payload_length;
        assert_eq!(found, Err(DecodeError::Truncated { needed, available: bytes.len() }));
        return;
    };
    let upper = ipv6::upper_layer(IpProtocol::new(fixed[6]), behind);
    match found {
        Ok(packet) => {
            assert_eq!(packet.header.as_bytes(), fixed);
            assert_eq!([packet.extension_headers, packet.payload].concat(), behind);
            let upper = upper.expect("the same walk");
            assert_eq!((upper.protocol, upper.fragment), (packet.protocol, packet.fragment));
            assert_eq!(upper.offset, packet.extension_headers.len());
            check_walk(packet.header.next_header(), packet.extension_headers, upper);
            // What stands behind the packet does not matter, and what stands in it does.
            assert_eq!(Ipv6Header::decode(&bytes[..40 + payload_length]), Ok(packet));
            for cut in (0..upper.offset).step_by(3) {
                let cut = ipv6::upper_layer(packet.header.next_header(), &behind[..cut]);
                assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{cut:?}");
            }
        }
        Err(error) => {
            assert_eq!(upper, Err(error));
            match error {
                DecodeError::Truncated { needed, available } => {
                    assert!(available == payload_length && available < needed);
                }
                DecodeError::TooManyExtensionHeaders { limit } => {
                    assert!(limit == MAX_EXTENSION_HEADERS && behind.len() >= 8 * limit);
                }
                other => panic!("{other}"),
            }
        }
    }
});

/// The way through the extension headers, by RFC 8200 §4 and from the bytes alone.
fn check_walk(first: IpProtocol, headers: &[u8], upper: ipv6::UpperLayer) {
    let (mut next, mut at, mut fragment) = (first, 0, None);
    while at < headers.len() {
        assert!(next.is_extension_header() && (at == 0 || next != IpProtocol::HOP_BY_HOP));
        let length = if next == IpProtocol::FRAGMENT {
            let (header, _) = FragmentHeader::from_prefix(&headers[at..]).expect("eight bytes");
            fragment = Some(*header);
            8
        } else {
            8 + 8 * usize::from(headers[at + 1])
        };
        next = IpProtocol::new(headers[at]);
        at += length;
    }
    assert_eq!((next, at, fragment), (upper.protocol, upper.offset, upper.fragment));
    let is_middle = fragment.is_some_and(|fragment| fragment.offset() != 0);
    assert!(is_middle || !next.is_extension_header() || next == IpProtocol::HOP_BY_HOP);
}
