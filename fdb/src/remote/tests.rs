use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
}

#[test]
fn numbers_and_addresses() {
    let table = RemoteTable::new([1; 16], 100);
    let remote =
        Remote { address: IpAddr::V6(Ipv6Addr::LOCALHOST), port: Some(65535), vni: Some(Vni::new(0xab_cdef).unwrap()) };
    let id = table.insert(remote).unwrap();
    assert_eq!(table.get(id), Some(remote));
    assert_eq!(table.id_of(remote.address), Some(id));
    let other = table.insert(Remote { port: Some(0), vni: Some(Vni::MIN), ..Remote::new(address(1)) }).unwrap();
    assert_ne!(id, other);
    assert_eq!(table.get(other).unwrap().port, Some(0));
    assert_eq!(table.get(other).unwrap().vni, Some(Vni::MIN));
    assert_eq!(table.insert(Remote::new(address(1))), Ok(other));
    assert_eq!(table.get(other), Some(Remote::new(address(1))));
    assert_eq!(table.ids(), [id, other]);
    assert_eq!(table.id_of(address(2)), None);
    assert_eq!(table.get(RemoteId::MAX), None);
}

#[test]
fn an_ipv4_address_is_not_its_mapped_form() {
    let table = RemoteTable::new([1; 16], 100);
    let four = table.insert(Remote::new(address(1))).unwrap();
    let IpAddr::V4(plain) = address(1) else { unreachable!() };
    let mapped = IpAddr::V6(plain.to_ipv6_mapped());
    assert_eq!(table.id_of(mapped), None);
    let six = table.insert(Remote::new(mapped)).unwrap();
    assert_ne!(four, six);
    assert_eq!(table.get(six).unwrap().address, mapped);
}

#[test]
fn pins_are_counted() {
    let table = RemoteTable::new([1; 16], 100);
    let id = table.insert(Remote::new(address(1))).unwrap();
    table.insert(Remote::new(address(1))).unwrap();
    table.release(id);
    assert!(table.is_pinned(id));
    let long = 1000 * SECOND;
    table.reclaim(long, SECOND, |_| false);
    table.reclaim(long, SECOND, |_| false);
    assert_eq!(table.id_of(address(1)), Some(id));
    table.release(id);
    table.release(id);
    assert!(!table.is_pinned(id));
    table.reclaim(long, SECOND, |_| true);
    assert_eq!(table.id_of(address(1)), Some(id));
    table.reclaim(long, SECOND, |_| false);
    assert_eq!(table.id_of(address(1)), None);
    assert!(table.get(id).is_some());
    table.reclaim(long, SECOND, |_| false);
    assert_eq!(table.get(id), None);
    assert_eq!(table.ids(), []);
    assert_eq!(table.insert(Remote::new(address(2))), Ok(id));
}

#[test]
fn one_that_leaves_may_come_back() {
    let table = RemoteTable::new([1; 16], 100);
    let id = table.intern(address(1), Duration::ZERO).unwrap();
    table.reclaim(10 * SECOND, SECOND, |_| false);
    assert_eq!(table.id_of(address(1)), None);
    assert_eq!(table.intern(address(1), 10 * SECOND), Ok(id));
    table.reclaim(10 * SECOND, SECOND, |_| false);
    table.reclaim(10 * SECOND, SECOND, |_| false);
    assert_eq!(table.id_of(address(1)), Some(id));
    // A row that came to be between the two calls.
    table.reclaim(12 * SECOND, SECOND, |_| false);
    table.reclaim(12 * SECOND, SECOND, |_| true);
    assert_eq!(table.id_of(address(1)), Some(id));
}

#[test]
fn heard_is_not_idle() {
    let table = RemoteTable::new([1; 16], 100);
    let id = table.intern(address(1), Duration::ZERO).unwrap();
    table.record_received(id, 3, 9 * SECOND);
    table.record_received(id, 1, 8 * SECOND);
    table.record_sent(id, 7);
    for _ in 0..3 {
        table.reclaim(10 * SECOND, 2 * SECOND, |_| false);
    }
    let expected = RemoteStatistics { tx_packets: 7, rx_packets: 4, last_heard: Some(9 * SECOND) };
    assert_eq!(table.statistics(id), expected);
    for _ in 0..2 {
        table.reclaim(11 * SECOND, 2 * SECOND, |_| false);
    }
    assert_eq!(table.get(id), None);
    let id = table.intern(address(2), Duration::ZERO).unwrap();
    assert_eq!(table.statistics(id), RemoteStatistics::default());
}

#[test]
fn packets_take_three_quarters() {
    let table = RemoteTable::new([1; 16], 100);
    for number in 0..75 {
        table.intern(address(number), Duration::ZERO).unwrap();
    }
    assert_eq!(table.intern(address(75), Duration::ZERO), Err(RemoteTableFull { max: 75 }));
    for number in 75..100 {
        table.insert(Remote::new(address(number))).unwrap();
    }
    assert_eq!(table.insert(Remote::new(address(100))), Err(RemoteTableFull { max: 100 }));
    assert_eq!(table.ids().len(), 100);
    // A known one is none more.
    assert!(table.insert(Remote::new(address(0))).is_ok());
}

#[test]
fn path_mtu() {
    let table = RemoteTable::new([1; 16], 4);
    let id = table.insert(Remote::new(address(1))).unwrap();
    assert_eq!(table.path_mtu(id), None);
    for mtu in [0, 1280, 1500, 65535] {
        table.set_path_mtu(id, Some(mtu));
        assert_eq!(table.path_mtu(id), Some(mtu));
    }
    table.set_path_mtu(id, None);
    assert_eq!(table.path_mtu(id), None);
    assert_eq!(table.path_mtu(RemoteId::MAX), None);
}
