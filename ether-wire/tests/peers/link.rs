//! The Ethernet headers of the frames that tshark reads.

use ether_wire::{EtherType, EthernetHeader, MacAddr, VlanTag};
use proptest::{collection::vec, option, prelude::*};

use crate::peers::Packet;

/// What tshark says of Ethernet and its tags.
pub(crate) const LINK: [&str; 9] = [
    "eth.dst",
    "eth.src",
    "eth.type",
    "ieee8021ad.id",
    "ieee8021ad.priority",
    "ieee8021ad.dei",
    "vlan.id",
    "vlan.priority",
    "vlan.dei",
];

/// A frame's addresses and tags: at most one of 802.1ad, then those of 802.1Q.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) stations: [[u8; 6]; 2],
    service: Option<(u16, u8, bool)>,
    customers: Vec<(u16, u8, bool)>,
}

pub(crate) fn link() -> impl Strategy<Value = Link> {
    let tag = || (0_u16..4096, 0_u8..8, any::<bool>());
    (any::<[[u8; 6]; 2]>(), option::of(tag()), vec(tag(), 0..3)).prop_map(|(stations, service, customers)| Link {
        stations,
        service,
        customers,
    })
}

impl Link {
    /// The frame with this payload, and the [`LINK`] fields of tshark.
    pub(crate) fn encode(&self, ether_type: EtherType, payload: &[u8]) -> (Vec<u8>, Vec<String>) {
        let tags = self.service.iter().map(|tag| (EtherType::SERVICE_VLAN, tag));
        let tags: Vec<_> = tags.chain(self.customers.iter().map(|tag| (EtherType::VLAN, tag))).collect();
        let type_of = |place: usize| tags.get(place).map_or(ether_type, |(ether_type, _)| *ether_type);
        let [destination, source] = self.stations.map(MacAddr::new);
        let mut frame = EthernetHeader::new(destination, source, type_of(0)).as_bytes().to_vec();
        for (place, (_, (id, priority, drop_eligible))) in tags.iter().enumerate() {
            let mut tag = VlanTag::new(*id, type_of(place + 1));
            tag.set_priority(*priority);
            tag.set_drop_eligible(*drop_eligible);
            frame.extend(tag.as_bytes());
        }
        frame.extend(payload);

        let mut fields = vec![destination.to_string(), source.to_string(), type_of(0).to_string()];
        for tags in [self.service.as_slice(), &self.customers] {
            fields.push(join(tags.iter().map(|tag| tag.0)));
            fields.push(join(tags.iter().map(|tag| tag.1)));
            fields.push(join(tags.iter().map(|tag| u8::from(tag.2))));
        }
        (frame, fields)
    }

    /// The whole packet, for these fields behind those of the link.
    pub(crate) fn packet(&self, ether_type: EtherType, payload: &[u8], behind: Vec<String>) -> Packet {
        let (frame, mut fields) = self.encode(ether_type, payload);
        fields.extend(behind);
        Packet { frame, fields }
    }
}

pub(crate) fn join<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(";")
}
