//! Where a segment is on the wire: its address, its port, and what it shares there with others.

use std::net::IpAddr;

use toml::Spanned;
use vtep::{Encapsulation, Sources};

use super::{Problem, SegmentTable, Taken};

/// Our address, where it is known, and the port.
type Place = (Option<IpAddr>, u16);

impl SegmentTable {
    /// The address that the segment asks for.
    pub(super) fn own_local(&self, key: &str, locals: &[IpAddr]) -> Result<Option<IpAddr>, Problem> {
        let Some(local) = &self.local else { return Ok(None) };
        let address = *local.get_ref();
        if locals.contains(&address) {
            return Ok(Some(address));
        }
        Err(Problem::at(local, key, format!("{address} is none of the addresses of underlay.local")))
    }

    /// No two segments may share a VNI in one place, and nothing but one encapsulation is spoken in each.
    pub(super) fn take_place(
        &self,
        path: &str,
        encapsulation: Encapsulation,
        (local, port): Place,
        taken: &mut Taken,
    ) -> Result<(), Problem> {
        let key = |name: &str| format!("{path}.{name}");
        let name = self.name.get_ref();
        let vni = *self.vni.get_ref();
        if let Some(other) = taken.vnis.insert((encapsulation, local, port, vni), name.clone()) {
            let reason = if encapsulation.is_udp() {
                format!("segment \"{other}\" has VNI {vni} on port {port}")
            } else {
                format!("segment \"{other}\" has VSID {vni}")
            };
            return Err(Problem::at(&self.vni, key("vni"), reason));
        }
        if encapsulation.is_udp() {
            let there = *taken.ports.entry((local, port)).or_insert(encapsulation);
            if there != encapsulation {
                let (place, name) = match (&self.port, &self.encapsulation) {
                    (Some(port), _) => (port.span(), "port"),
                    (None, Some(word)) => (word.span(), "encapsulation"),
                    (None, None) => (self.vni.span(), "vni"),
                };
                let reason = format!("another segment speaks {there} on port {port}");
                return Err(Problem::at(&Spanned::new(place, ()), key(name), reason));
            }
        }
        Ok(())
    }

    /// Who sends zero checksums over IPv6 must know whom it takes them from (RFC 6936 §5), and a socket takes them for all
    /// segments of its port.
    pub(super) fn check_zero_checksum(
        &self,
        path: &str,
        place: Place,
        udp_checksum: bool,
        sources: Sources,
        taken: &mut Taken,
    ) -> Result<(), Problem> {
        let name = self.name.get_ref();
        if !udp_checksum {
            taken.zero_checksums.entry(place).or_insert_with(|| name.clone());
        }
        if sources == Sources::Any {
            taken.any_sources.entry(place).or_insert_with(|| name.clone());
        }
        let (Some(zero), Some(any)) = (taken.zero_checksums.get(&place), taken.any_sources.get(&place)) else {
            return Ok(());
        };
        let (span, key) = match (&self.udp_checksum, &self.group) {
            (Some(value), _) if !udp_checksum => (value.span(), "udp_checksum"),
            (_, Some(group)) if self.sources.is_none() => (group.span(), "group"),
            _ => (self.name.span(), "sources"),
        };
        let reason = format!(
            "with udp_checksum = false over IPv6, which segment \"{zero}\" has, all segments of port {} need sources = \"configured\" \
             (RFC 6936), and segment \"{any}\" takes any",
            place.1
        );
        Err(Problem::at(&Spanned::new(span, ()), format!("{path}.{key}"), reason))
    }
}
