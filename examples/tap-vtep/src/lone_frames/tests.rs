use std::{
    io::{Read, Seek},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use vtep::{Endpoint, EndpointOptions, SegmentConfig};

use super::*;

/// A pair of sockets in a TAP's stead.
fn pair() -> (Tap, OwnedFd) {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (tap, guest) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    (Tap::from_fd(tap), guest)
}

/// Ids of three segments.
fn segments() -> [SegmentId; 3] {
    let endpoint = Endpoint::new(EndpointOptions::new([0; 16]));
    [1, 2, 3].map(|vni| endpoint.add_segment(SegmentConfig::new(overlay_types::Vni::new(vni).unwrap())).unwrap())
}

fn frame(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| (number + place) as u8).collect()
}

fn virtio(number: usize) -> VirtioNetHeader {
    VirtioNetHeader::new().with_checksum(34, number as u16)
}

fn bytes(number: usize, length: usize) -> Vec<u8> {
    [&virtio(number).to_bytes()[..], &frame(number, length)].concat()
}

#[test]
fn frames_come_to_their_taps_whole_and_in_order() {
    let [blue, red, _] = segments();
    for io_uring in [true, false] {
        let (blue_tap, blue_guest) = pair();
        let (red_tap, red_guest) = pair();
        let mut lone = LoneFrames::new(Some(io_uring)).unwrap();
        for count in 0..=FRAMES {
            let length = |number: usize| 14 + (count * 31 + number * 7) % 900;
            let owner = |number: usize| if number.is_multiple_of(3) { red } else { blue };
            for number in 0..count {
                assert!(!lone.is_full());
                lone.push(owner(number), virtio(number), &frame(number, length(number)));
            }
            let mut told = 0;
            let tap = |segment| Some(if segment == blue { &blue_tap } else { &red_tap });
            lone.flush(tap, |segment, bytes, outcome| {
                assert_eq!((segment, bytes, outcome), (owner(told), &frame(told, length(told))[..], Ok(())));
                told += 1;
            });
            assert_eq!(told, count);
            assert_eq!(lone.ring.is_some(), io_uring);
            for number in 0..count {
                let guest = if owner(number) == blue { &blue_guest } else { &red_guest };
                let mut buffer = [0; 4096];
                let got = rustix::io::read(guest, &mut buffer).unwrap();
                assert_eq!(buffer[..got], bytes(number, length(number)));
            }
        }
    }
}

#[test]
fn as_many_wait_as_there_is_room_for() {
    let [blue, ..] = segments();
    let (tap, guest) = pair();
    let mut lone = LoneFrames::new(Some(true)).unwrap();
    assert!(lone.takes(&tap, LONGEST) && !lone.takes(&tap, LONGEST + 1));
    assert!(!LoneFrames::new(Some(false)).unwrap().takes(&tap, 60));
    for length in 14..=LONGEST {
        let mut count = 0;
        while !lone.is_full() {
            lone.push(blue, virtio(count), &frame(count, length));
            count += 1;
        }
        assert!(count == FRAMES || count >= MEMORY / (LONGEST + 128), "{count} frames of {length} bytes");
        // The first one is as it was.
        lone.flush(|_| Some(&tap), |_, _, _| {});
        let mut buffer = [0; 4096];
        let got = rustix::io::read(&guest, &mut buffer).unwrap();
        assert_eq!(buffer[..got], bytes(0, length));
        while rustix::io::read(&guest, &mut buffer).is_ok() {}
    }
}

#[test]
fn a_tap_that_takes_no_more_or_is_away_costs_its_frames_alone() {
    let [full, away, good] = segments();
    for io_uring in [true, false] {
        let (full_tap, _full_guest) = pair();
        while rustix::io::write(&full_tap, &[0; 100]).is_ok() {}
        let (good_tap, good_guest) = pair();
        let mut lone = LoneFrames::new(Some(io_uring)).unwrap();
        for number in 0..30 {
            lone.push([full, away, good][number % 3], virtio(number), &frame(number, 60));
        }
        let tap = |segment| match segment {
            _ if segment == full => Some(&full_tap),
            _ if segment == good => Some(&good_tap),
            _ => None,
        };
        let mut told = Vec::new();
        lone.flush(tap, |segment, _, outcome| told.push((segment, outcome)));
        let expected = [(full, Err(Errno::AGAIN)), (away, Err(Errno::NODEV)), (good, Ok(()))];
        assert_eq!(told, expected.repeat(10));
        for number in (2..30).step_by(3) {
            let mut buffer = [0; 4096];
            let got = rustix::io::read(&good_guest, &mut buffer).unwrap();
            assert_eq!(buffer[..got], bytes(number, 60));
        }
    }
}

#[test]
fn a_file_that_the_ring_cannot_write_to_without_waiting_is_written_to_all_the_same() {
    let [blue, ..] = segments();
    let file = rustix::fs::memfd_create("frames", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut contents = std::fs::File::from(file.try_clone().unwrap());
    let tap = Tap::from_fd(file);
    let mut lone = LoneFrames::new(Some(true)).unwrap();
    let mut expected = Vec::new();
    for round in 0..2 {
        for number in 0..10 {
            lone.push(blue, virtio(number), &frame(number, 60 + round));
            expected.extend(bytes(number, 60 + round));
        }
        lone.flush(|_| Some(&tap), |_, _, outcome| assert_eq!(outcome, Ok(())));
        assert!(lone.ring.is_none());
    }
    let mut got = Vec::new();
    contents.rewind().unwrap();
    contents.read_to_end(&mut got).unwrap();
    assert_eq!(got, expected);
}
