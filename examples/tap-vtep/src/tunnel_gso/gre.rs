//! GRE around super-frames: what `TUN_F_UDP_TUNNEL_GSO` does not know.
//!
//! The kernel cuts super-frames within GRE as well as within UDP, but a TAP can't say that one is within GRE. It is written
//! as a super-frame with more headers than usual; a program of a few instructions (eBPF) at the helper TAP's ingress takes
//! those in front away, and puts them back as a tunnel's: `bpf_skb_adjust_room` is how the kernel is told of tunnels.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use ether_wire::{EthernetHeader, Ipv4Header};
use nvgre_wire::NvgreHeader;
use overlay_types::EtherType;

/// Behind the Ethernet header is what is taken away and put back: IPv4 without options, GRE with a key, and the Ethernet
/// header of the frame within.
const AT: i32 = length(EthernetHeader::LEN);
const ROOM: i32 = length(Ipv4Header::LEN + NvgreHeader::LEN + EthernetHeader::LEN);
/// Where that is meanwhile, counted from the end of the program's stack.
const STACK: i32 = -(ROOM + 7) / 8 * 8;

// linux/bpf.h
const PROG_LOAD: libc::c_long = 5;
const LINK_CREATE: libc::c_long = 28;
const PROG_TYPE_SCHED_CLS: u32 = 3;
const TCX_INGRESS: u32 = 46;
const SKB_STORE_BYTES: i32 = 9;
const SKB_LOAD_BYTES: i32 = 26;
const SKB_ADJUST_ROOM: i32 = 50;
const ADJ_ROOM_MAC: i32 = 1;
const FIXED_GSO: u64 = 1 << 0;
const ENCAP_L3_IPV4: u64 = 1 << 1;
const ENCAP_L4_GRE: u64 = 1 << 3;
const ENCAP_L2_ETH: u64 = 1 << 6;
const ENCAP_L2_SHIFT: u32 = 56;
const DECAP_L3_IPV4: i32 = 1 << 7;
const DECAP_L3_IPV6: i32 = 1 << 8;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;
/// Where `struct __sk_buff` has its `gso_size`.
const GSO_SIZE: i16 = 176;

/// The program, attached: until this value is dropped, or the device is gone.
#[derive(Debug)]
pub(super) struct GreMarker {
    _link: OwnedFd,
}

impl GreMarker {
    /// Has super-frames within GRE that come in by this device be known as such.
    ///
    /// # Errors
    ///
    /// `EPERM`: not for us, `CAP_BPF` is missing. `EINVAL`: the kernel is older than Linux 6.6.
    pub(super) fn attach(device: u32) -> io::Result<Self> {
        let program = load(&program())?;
        let attributes = LinkCreate {
            program: program.as_raw_fd(),
            device,
            attach_type: TCX_INGRESS,
            flags: 0,
            relative: 0,
            padding: 0,
            expected_revision: 0,
        };
        // SAFETY: the kernel reads the attributes alone, which point nowhere.
        Ok(Self { _link: unsafe { bpf(LINK_CREATE, &attributes)? } })
    }
}

#[repr(C)]
struct ProgLoad {
    program_type: u32,
    instructions: u32,
    first_instruction: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct LinkCreate {
    program: i32,
    device: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = ProgLoad {
        program_type: PROG_TYPE_SCHED_CLS,
        instructions: program.len() as u32,
        first_instruction: program.as_ptr() as u64,
        license: c"MIT OR Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"tap_vtep_gre\0\0\0\0",
    };
    // SAFETY: the addresses are those of a C string and of so many instructions, which the kernel reads during the call.
    unsafe { bpf(PROG_LOAD, &attributes) }
}

/// # Safety
///
/// What the attributes point to is as `command` has it.
unsafe fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as the attributes have.
    let file = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match i32::try_from(file) {
        // SAFETY: both commands return a file, which is nobody's yet.
        Ok(file) if file >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(file) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An instruction as RFC 9669 has it: opcode, registers, offset, immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Instruction {
    opcode: u8,
    /// The source's number, and that of the destination in the lower bits; the other way round on big-endian machines.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Self {
        let (low, high) = if cfg!(target_endian = "little") { (destination, source) } else { (source, destination) };
        Self { opcode, registers: high << 4 | low, offset, immediate }
    }
}

/// As instructions and helpers take it.
const fn length(bytes: usize) -> i32 {
    (bytes as u32).cast_signed()
}

/// Offsets of jumps until it is known how far they go.
const TO_PASS: i16 = i16::MAX;
const TO_DROP: i16 = i16::MIN;

/// The program, by `linux/bpf.h` and the helpers that are described there.
fn program() -> Vec<Instruction> {
    const GRE: i32 = NvgreHeader::IP_PROTOCOL as i32;
    const IPV6: i32 = EtherType::IPV6.get().to_be() as i32;
    /// In the IPv4 header.
    const PROTOCOL: i32 = 9;
    const INNER_ETHER_TYPE: i32 = length(Ipv4Header::LEN + NvgreHeader::LEN + 12);
    const TUNNEL: u64 =
        FIXED_GSO | ENCAP_L3_IPV4 | ENCAP_L4_GRE | ENCAP_L2_ETH | (EthernetHeader::LEN as u64) << ENCAP_L2_SHIFT;
    /// The end of the stack.
    const FRAME: u8 = 10;
    /// The packet.
    const CONTEXT: u8 = 6;

    let instruction = Instruction::new;
    let set = |register, value| instruction(0xb7, register, 0, 0, value);
    let copy = |to, from| instruction(0xbf, to, from, 0, 0);
    let add = |register, value| instruction(0x07, register, 0, 0, value);
    let call = |helper| instruction(0x85, 0, 0, 0, helper);
    let unless = |register, value, offset| instruction(0x55, register, 0, offset, value);
    let exit = instruction(0x95, 0, 0, 0, 0);
    let mut program = vec![
        copy(CONTEXT, 1),
        // Only a super-frame: 32 bits, not zero.
        instruction(0x61, 2, CONTEXT, GSO_SIZE, 0),
        instruction(0x15, 2, 0, TO_PASS, 0),
        copy(1, CONTEXT),
        set(2, AT),
        copy(3, FRAME),
        add(3, STACK),
        set(4, ROOM),
        call(SKB_LOAD_BYTES),
        unless(0, 0, TO_PASS),
        // Only within GRE: 8 bits.
        instruction(0x71, 2, FRAME, (STACK + PROTOCOL) as i16, 0),
        unless(2, GRE, TO_PASS),
        // Away with the headers: what remains is of the inner family, by 16 bits.
        instruction(0x69, 5, FRAME, (STACK + INNER_ETHER_TYPE) as i16, 0),
        set(4, FIXED_GSO as i32 | DECAP_L3_IPV4),
        unless(5, IPV6, 1),
        set(4, FIXED_GSO as i32 | DECAP_L3_IPV6),
        copy(1, CONTEXT),
        set(2, -ROOM),
        set(3, ADJ_ROOM_MAC),
        call(SKB_ADJUST_ROOM),
        unless(0, 0, TO_DROP),
        // And back with them, as a tunnel's.
        copy(1, CONTEXT),
        set(2, ROOM),
        set(3, ADJ_ROOM_MAC),
        // 64 bits, in two.
        instruction(0x18, 4, 0, 0, (TUNNEL as u32).cast_signed()),
        instruction(0, 0, 0, 0, (TUNNEL >> 32) as i32),
        call(SKB_ADJUST_ROOM),
        unless(0, 0, TO_DROP),
        copy(1, CONTEXT),
        set(2, AT),
        copy(3, FRAME),
        add(3, STACK),
        set(4, ROOM),
        set(5, 0),
        call(SKB_STORE_BYTES),
        unless(0, 0, TO_DROP),
    ];
    let pass = program.len();
    program.extend([set(0, TC_ACT_OK), exit]);
    let drop = program.len();
    program.extend([set(0, TC_ACT_SHOT), exit]);
    for (at, instruction) in program.iter_mut().enumerate() {
        // An offset counts from the next one.
        match instruction.offset {
            TO_PASS => instruction.offset = ((pass - at - 1) as u16).cast_signed(),
            TO_DROP => instruction.offset = ((drop - at - 1) as u16).cast_signed(),
            _ => {}
        }
    }
    program
}
