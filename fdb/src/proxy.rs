//! Answering ARP and Neighbor Solicitation for others, and learning from both.

use alloc::boxed::Box;
use core::{net::IpAddr, time::Duration};

use ether_wire::{
    DecodeError, EthernetHeader, IpProtocol, Ipv6Header,
    arp::{ArpOperation, ArpPacket},
    nd::{self, NdOption, NeighborAdvertisement, NeighborSolicitation},
};
use overlay_types::{EtherType, MacAddr};
use thiserror::Error;

use crate::{
    neighbor::{Counted, LearnNeighbor, NeighborTable},
    segment_id::SegmentId,
    sync::{AtomicU64, Ordering},
};

/// Questions that are remembered. A question that falls on the place of another one is asked once more.
const REMEMBERED: usize = if crate::extents::SMALL { 4 } else { 4096 };

/// The questions that were passed on of late: `hash(24) milliseconds + 1 (40)` each.
pub(crate) struct Asked {
    questions: Box<[AtomicU64]>,
}

impl Default for Asked {
    fn default() -> Self {
        Self { questions: crate::extents::defaults(REMEMBERED) }
    }
}

impl Asked {
    const TIME: u64 = (1 << 40) - 1;

    /// `true` where the question was not asked within the hold time: it is now.
    fn ask(&self, hash: u64, now: Duration, hold: Duration) -> bool {
        let place = &self.questions[hash as usize % REMEMBERED];
        let time = (u64::try_from(now.as_millis()).unwrap_or(u64::MAX) & Self::TIME).max(1);
        let before = place.load(Ordering::Relaxed);
        let age = time.wrapping_sub(before & Self::TIME) & Self::TIME;
        // Another thread, whose time is a little later, may have asked just now.
        let age = if age > Self::TIME / 2 { 0 } else { age };
        let same = before != 0 && before >> 40 == hash >> 40;
        if same && u128::from(age) < hold.as_millis() {
            return false;
        }
        // Of two that ask at once, one does.
        let new = hash >> 40 << 40 | time;
        place.compare_exchange(before, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() || !same
    }
}

/// What becomes of a frame that may ask for a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Answer {
    /// It goes where it would go anyway.
    PassOn(PassReason),
    /// The answer is in the caller's buffer and goes back to where the question came from; the question goes nowhere.
    Reply {
        /// The bytes of the answering frame.
        len: usize,
    },
    /// Nobody here knows: the question is flooded.
    Flood,
    /// Nobody here knows, but the question was flooded just now: it goes nowhere.
    Held,
}

/// What is to be said of a frame.
enum Decision {
    Known(Answer),
    /// Nobody knows: by the hash of the question it is known again.
    Unknown {
        question: u64,
    },
}

/// Why a frame is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum PassReason {
    /// It asks for no address: no ARP request and no Neighbor Solicitation.
    NoQuestion,
    /// An ARP probe, or duplicate address detection: who has the address is to answer (RFC 5227, RFC 4862 §5.4).
    Probe,
    /// A gratuitous ARP: it tells, and everyone is to hear it (RFC 5227 §1.1).
    Announcement,
    /// It goes to one station: a host that makes sure that the other one is still there.
    Unicast,
    /// Its source is a group address or zero: there is nobody to answer.
    InvalidSource,
}

/// Why a frame that may ask for a MAC address can't be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// An ARP or Neighbor Discovery packet that is malformed: it is to be dropped.
    #[error("malformed: {0}")]
    Malformed(DecodeError),
    /// Its sender says that it has addresses which no host can have: it is to be dropped.
    #[error("the sender has addresses that no host can have")]
    InvalidSender,
    /// The buffer for the answer is too short.
    #[error("{available} bytes for an answer of {needed}")]
    BufferTooSmall {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        available: usize,
    },
}

impl From<DecodeError> for ProxyError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

/// A frame of ARP or Neighbor Discovery.
enum Message<'a> {
    Arp(&'a ArpPacket),
    Solicitation(nd::Solicitation<'a>),
    Advertisement(nd::Advertisement<'a>),
}

impl Message<'_> {
    /// `false` where the sender says that it has addresses which no host can have.
    fn has_possible_sender(&self) -> bool {
        let link_layer = |options: nd::NdOptions<'_>, kind| {
            options.link_layer_address(kind).is_none_or(|mac: MacAddr| mac.is_unicast())
        };
        match self {
            // Who has no address yet asks only.
            Self::Arp(arp) => arp.is_probe() && arp.sender_mac().is_unicast() || arp.sender_binding().is_some(),
            Self::Solicitation(it) => {
                !it.ip.source().is_multicast() && link_layer(it.options, NdOption::SOURCE_LINK_LAYER_ADDRESS)
            }
            Self::Advertisement(it) => {
                !it.ip.source().is_multicast() && link_layer(it.options, NdOption::TARGET_LINK_LAYER_ADDRESS)
            }
        }
    }
}

/// The message in a frame without VLAN tag, with the frame's header. `None` for any other frame.
fn message(frame: &[u8]) -> Result<Option<(&EthernetHeader, Message<'_>)>, ProxyError> {
    const SOLICITATION: u8 = 135;
    const ADVERTISEMENT: u8 = 136;
    let Ok((ethernet, payload)) = EthernetHeader::from_prefix(frame) else { return Ok(None) };
    let message = match ethernet.ether_type() {
        EtherType::ARP => Message::Arp(ArpPacket::decode(payload)?.0),
        EtherType::IPV6 => {
            // What else is wrong with IPv6 is not this table's affair.
            let Ok(packet) = Ipv6Header::decode(payload) else { return Ok(None) };
            match packet.payload.first() {
                // Nobody takes Neighbor Discovery from fragments (RFC 6980 §5).
                _ if packet.protocol != IpProtocol::ICMPV6 || packet.fragment.is_some() => return Ok(None),
                Some(&SOLICITATION) => Message::Solicitation(NeighborSolicitation::decode(&packet)?),
                Some(&ADVERTISEMENT) => Message::Advertisement(NeighborAdvertisement::decode(&packet)?),
                _ => return Ok(None),
            }
        }
        _ => return Ok(None),
    };
    if !message.has_possible_sender() {
        return Err(ProxyError::InvalidSender);
    }
    Ok(Some((ethernet, message)))
}

impl NeighborTable {
    /// Bytes of the longest answer.
    pub const REPLY_LEN: usize =
        if nd::FRAME_LEN > ArpPacket::FRAME_LEN { nd::FRAME_LEN } else { ArpPacket::FRAME_LEN };

    /// Answers an Ethernet frame that asks for a MAC address, out of the table (RFC 826, RFC 4861 §7.2.4), into `reply`.
    ///
    /// Probes, announcements, duplicate address detection and questions to one station are passed on, so that detection
    /// works across the overlay. A question for an unknown address is flooded once, and not again within `hold` whoever
    /// asks. `is_reachable` says of the MAC address that is known whether frames to it would arrive: as long as they would
    /// not, the address counts as unknown. Takes no lock and does not allocate.
    ///
    /// An answer to a Neighbor Solicitation has S set and O clear (RFC 4861 §7.2.8), and R as the table has it.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Malformed`] and [`ProxyError::InvalidSender`] for a frame to drop; [`ProxyError::BufferTooSmall`] for
    /// a `reply` shorter than the answer, at most [`REPLY_LEN`](Self::REPLY_LEN).
    pub fn answer(
        &self,
        segment: SegmentId,
        frame: &[u8],
        reply: &mut [u8],
        now: Duration,
        hold: Duration,
        is_reachable: impl FnOnce(MacAddr) -> bool,
    ) -> Result<Answer, ProxyError> {
        let answer = self.decide(segment, frame, reply, is_reachable).map(|decision| match decision {
            Decision::Known(answer) => answer,
            Decision::Unknown { question } if self.asked.ask(question, now, hold) => Answer::Flood,
            Decision::Unknown { .. } => Answer::Held,
        });
        let counted = match answer {
            Ok(Answer::PassOn(PassReason::NoQuestion)) | Err(ProxyError::BufferTooSmall { .. }) => return answer,
            Ok(Answer::PassOn(_)) => Counted::PassedOn,
            Ok(Answer::Reply { .. }) => Counted::Answered,
            Ok(Answer::Flood) => Counted::Flooded,
            Ok(Answer::Held) => Counted::Held,
            Err(ProxyError::Malformed(_) | ProxyError::InvalidSender) => Counted::Malformed,
        };
        self.count(segment, counted);
        answer
    }

    /// What [`answer`](Self::answer) would say of a frame by what is known now; `None` where it would ask whether the same
    /// question was flooded just now. Counts nothing.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub fn known_answer(
        &self,
        segment: SegmentId,
        frame: &[u8],
        reply: &mut [u8],
        is_reachable: impl FnOnce(MacAddr) -> bool,
    ) -> Result<Option<Answer>, ProxyError> {
        self.decide(segment, frame, reply, is_reachable).map(|decision| match decision {
            Decision::Known(answer) => Some(answer),
            Decision::Unknown { .. } => None,
        })
    }

    /// Whether a frame is malformed ARP or Neighbor Discovery.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Malformed`] and [`ProxyError::InvalidSender`]: it is.
    pub fn check_message(frame: &[u8]) -> Result<(), ProxyError> {
        message(frame).map(drop)
    }

    /// What is to be said of a frame, but for whether the same question was flooded just now.
    fn decide(
        &self,
        segment: SegmentId,
        frame: &[u8],
        reply: &mut [u8],
        is_reachable: impl FnOnce(MacAddr) -> bool,
    ) -> Result<Decision, ProxyError> {
        let pass_on = |reason| Ok(Decision::Known(Answer::PassOn(reason)));
        let Some((ethernet, message)) = message(frame)? else { return pass_on(PassReason::NoQuestion) };
        let (target, pass) = match &message {
            Message::Arp(arp) if arp.operation() != ArpOperation::REQUEST => (None, PassReason::NoQuestion),
            Message::Arp(arp) if arp.is_probe() => (None, PassReason::Probe),
            Message::Arp(arp) if arp.is_announcement() => (None, PassReason::Announcement),
            Message::Arp(arp) => (Some(IpAddr::V4(arp.target_ip())), PassReason::Unicast),
            Message::Solicitation(it) if it.is_duplicate_address_detection() => (None, PassReason::Probe),
            Message::Solicitation(it) => (Some(IpAddr::V6(it.message.target())), PassReason::Unicast),
            Message::Advertisement(_) => (None, PassReason::NoQuestion),
        };
        let Some(target) = target.filter(|_| ethernet.destination().is_multicast()) else {
            return pass_on(pass);
        };
        let asker = ethernet.source();
        if !asker.is_unicast() {
            return pass_on(PassReason::InvalidSource);
        }
        // Who asks for what it has itself gets no answer from others.
        let known = self.lookup(segment, target).filter(|known| known.mac != asker && is_reachable(known.mac));
        let Some(known) = known else {
            return Ok(Decision::Unknown { question: self.hash_of(segment, target).0 });
        };
        match message {
            Message::Arp(arp) => write(&arp.answer(known.mac).to_frame(asker), reply),
            Message::Solicitation(it) => write(&it.answer(asker, known.mac, known.router), reply),
            Message::Advertisement(_) => pass_on(PassReason::NoQuestion),
        }
    }

    /// Learns from an Ethernet frame of ARP or Neighbor Discovery; `None` where it teaches nothing.
    ///
    /// Nothing is learned from a probe, from duplicate address detection, from a packet whose sender is not the source
    /// of its frame, nor from an advertisement that does not override what is known (RFC 4861 §7.2.5).
    ///
    /// # Errors
    ///
    /// [`ProxyError::Malformed`] and [`ProxyError::InvalidSender`]: the frame is to be dropped.
    pub fn learn_from_frame(
        &self,
        segment: SegmentId,
        frame: &[u8],
        now: Duration,
    ) -> Result<Option<LearnNeighbor>, ProxyError> {
        let message = message(frame).inspect_err(|_| self.count(segment, Counted::Malformed))?;
        let Some((ethernet, message)) = message else { return Ok(None) };
        let binding: Option<(IpAddr, MacAddr, Option<bool>)> = match message {
            Message::Arp(arp) => arp.sender_binding().map(|(ip, mac)| (ip.into(), mac, None)),
            Message::Solicitation(it) => it.sender_binding().map(|(ip, mac)| (ip.into(), mac, None)),
            Message::Advertisement(it) => it
                .target_binding()
                .filter(|&(ip, mac)| {
                    let known = self.lookup(segment, ip.into());
                    it.message.is_override() || known.is_none_or(|known| known.mac == mac)
                })
                .map(|(ip, mac)| (ip.into(), mac, Some(it.message.is_router()))),
        };
        let binding = binding.filter(|&(_, mac, _)| mac == ethernet.source());
        Ok(binding.map(|(ip, mac, router)| self.learn(segment, ip, mac, router, now)))
    }
}

fn write(answer: &[u8], reply: &mut [u8]) -> Result<Decision, ProxyError> {
    let available = reply.len();
    let place = reply.get_mut(..answer.len()).ok_or(ProxyError::BufferTooSmall { needed: answer.len(), available })?;
    place.copy_from_slice(answer);
    Ok(Decision::Known(Answer::Reply { len: answer.len() }))
}
