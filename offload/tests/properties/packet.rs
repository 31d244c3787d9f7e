//! Frames from scratch, and sums word by word: what the tests compare with, written with nothing of the crate.

/// RFC 1071, word by word.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    words.fold(0, |sum, word| {
        let sum = u32::from(sum) + word;
        (sum % 0x1_0000 + sum / 0x1_0000) as u16
    })
}

/// The bytes of the pseudo-header: RFC 9293 §3.1, RFC 8200 §8.1.
pub(crate) fn pseudo_header(addresses: &[u8], protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = addresses.to_vec();
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

/// What stands in the checksum field of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    Whole,
    Partial,
    Wrong,
    Zero,
}

/// TCP, as far as it is not UDP.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    pub(crate) sequence_number: u32,
    pub(crate) acknowledgment_number: u32,
    pub(crate) reserved: u8,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent_pointer: u16,
    pub(crate) options: Vec<u8>,
}

/// All that a frame says.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) station: u8,
    pub(crate) tags: Vec<[u8; 4]>,
    pub(crate) is_ipv6: bool,
    pub(crate) source: u8,
    pub(crate) destination: u8,
    pub(crate) traffic_class: u8,
    pub(crate) flow_label: u32,
    pub(crate) hop_limit: u8,
    pub(crate) identification: u16,
    /// The reserved bit, DF, MF and offset of IPv4; where MF or offset is there, IPv6 has a fragment header.
    pub(crate) fragment: u16,
    /// Options of IPv4, or the data of a header of destination options.
    pub(crate) extensions: Vec<u8>,
    pub(crate) ports: (u16, u16),
    pub(crate) tcp: Option<Tcp>,
    pub(crate) payload: Vec<u8>,
    pub(crate) checksum: Checksum,
    pub(crate) padding: usize,
}

impl Spec {
    fn addresses(&self) -> Vec<u8> {
        let address = |last: u8| {
            let mut address = if self.is_ipv6 { vec![0xfd, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 0] } else { Vec::new() };
            address.extend([10, 1, 2, last]);
            address
        };
        [address(self.source), address(self.destination)].concat()
    }

    fn protocol(&self) -> u8 {
        if self.tcp.is_some() { 6 } else { 17 }
    }

    /// The transport header and the payload.
    fn transport(&self) -> Vec<u8> {
        let (mut bytes, field) = (Vec::new(), if self.tcp.is_some() { 16 } else { 6 });
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        if let Some(tcp) = &self.tcp {
            bytes.extend(tcp.sequence_number.to_be_bytes());
            bytes.extend(tcp.acknowledgment_number.to_be_bytes());
            let words = u8::try_from(5 + tcp.options.len() / 4).unwrap();
            bytes.extend([words << 4 | tcp.reserved, tcp.flags]);
            bytes.extend(tcp.window.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(tcp.urgent_pointer.to_be_bytes());
            bytes.extend(&tcp.options);
        } else {
            bytes.extend(u16::try_from(8 + self.payload.len()).unwrap().to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes.extend(&self.payload);
        let pseudo = pseudo_header(&self.addresses(), self.protocol(), bytes.len());
        let whole = match !sum(&[&pseudo[..], &bytes].concat()) {
            0 if self.tcp.is_none() => 0xffff,
            whole => whole,
        };
        let checksum = match self.checksum {
            Checksum::Whole => whole,
            Checksum::Partial => sum(&pseudo),
            Checksum::Wrong => whole ^ 0x0400,
            Checksum::Zero => 0,
        };
        bytes[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The frame, from its Ethernet header.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, self.station, 2, 0, 0, 0, 0, 0xfe];
        for tag in &self.tags {
            bytes.extend(tag);
        }
        let transport = self.transport();
        let is_fragment = self.fragment & 0x3fff != 0;
        if self.is_ipv6 {
            let (mut next, mut chain) = (self.protocol(), Vec::new());
            if is_fragment {
                let offset_more = self.fragment << 3 | self.fragment >> 13 & 1;
                chain =
                    [&[next, 0][..], &offset_more.to_be_bytes(), &[0, 0], &self.identification.to_be_bytes()].concat();
                next = 44;
            }
            if !self.extensions.is_empty() {
                // One option of padding fills eight bytes, or two of them sixteen.
                let length = (self.extensions.len() + 2).next_multiple_of(8);
                let mut header =
                    vec![next, u8::try_from(length / 8 - 1).unwrap(), 1, u8::try_from(length - 4).unwrap()];
                header.resize(length, 0);
                chain = [header, chain].concat();
                next = 60;
            }
            bytes.extend([0x86, 0xdd]);
            let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
            bytes.extend(first.to_be_bytes());
            bytes.extend(u16::try_from(chain.len() + transport.len()).unwrap().to_be_bytes());
            bytes.extend([next, self.hop_limit]);
            bytes.extend(self.addresses());
            bytes.extend(chain);
        } else {
            bytes.extend([0x08, 0x00]);
            let mut options = self.extensions.clone();
            options.resize(options.len().next_multiple_of(4), 0);
            let words = u8::try_from(5 + options.len() / 4).unwrap();
            let mut header = vec![0x40 | words, self.traffic_class];
            header.extend(u16::try_from(20 + options.len() + transport.len()).unwrap().to_be_bytes());
            header.extend(self.identification.to_be_bytes());
            header.extend(self.fragment.to_be_bytes());
            header.extend([self.hop_limit, self.protocol(), 0, 0]);
            header.extend(self.addresses());
            header.extend(options);
            let checksum = !sum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            bytes.extend(header);
        }
        bytes.extend(transport);
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }

    /// Bytes of headers.
    pub(crate) fn header_length(&self) -> usize {
        Self { payload: Vec::new(), padding: 0, ..self.clone() }.build().len()
    }

    /// Where the transport header is.
    pub(crate) fn transport_offset(&self) -> usize {
        self.header_length() - self.tcp.as_ref().map_or(8, |tcp| 20 + tcp.options.len())
    }

    /// The frames that a super-frame is cut into, each built by itself.
    pub(crate) fn cut(&self, segment_size: usize) -> Vec<Vec<u8>> {
        let empty: &[u8] = &[];
        let mut pieces: Vec<&[u8]> = self.payload.chunks(segment_size).collect();
        if pieces.is_empty() {
            pieces.push(empty);
        }
        let last = pieces.len() - 1;
        let frames = pieces.iter().enumerate().map(|(index, payload)| {
            let mut segment = self.clone();
            segment.payload = payload.to_vec();
            segment.checksum = Checksum::Whole;
            segment.padding = 0;
            segment.identification = self.identification.wrapping_add(index as u16);
            if let Some(tcp) = &mut segment.tcp {
                tcp.sequence_number = tcp.sequence_number.wrapping_add((index * segment_size) as u32);
                if index != last {
                    tcp.flags &= !0b1001;
                }
                if index != 0 {
                    tcp.flags &= !0x80;
                }
            }
            segment.build()
        });
        frames.collect()
    }
}
