//! What would happen to a frame, as the running program says it: the decision of `vtep`, and the bytes that would go out.

use std::{net::IpAddr, sync::atomic::Ordering};

use ether_wire::{Ecn, EthernetHeader};
use serde_json::{Value, json};
use vtep::{ExplainedFrame, ExplainedSend, FloodReason, Received, Row, RowState};

use crate::{
    hex,
    outer_packet::OuterPacket,
    state::{Segment, State},
};

/// What would happen to a frame from the TAP of this segment.
pub(crate) fn of_frame(state: &State, segment: &Segment, frame: &[u8]) -> Result<Value, String> {
    let explained = state.endpoint.explain_from_tap(segment.id, frame, state.now());
    let explained = explained.ok_or_else(|| format!("segment {} is going away", segment.name()))?;
    let mut answer = head(state, Some(segment), &json!("tap"), frame, explained.source, explained.destination);
    answer["forgets_source"] = explained.forgets_source.into();
    match explained.verdict {
        ExplainedFrame::Send(send) => {
            answer["verdict"] = "send".into();
            answer["match"] = match send.flooded {
                None => "row",
                Some(FloodReason::Broadcast) => "broadcast",
                Some(FloodReason::Multicast) => "multicast",
                Some(FloodReason::UnknownUnicast) => "unknown_unicast",
            }
            .into();
            send_into(&mut answer, segment, &send, frame)?;
        }
        ExplainedFrame::Answer(reply) => {
            answer["verdict"] = "answer".into();
            answer["reply"] = hex::encode(&reply).into();
        }
        ExplainedFrame::Drop(reason) => {
            answer["verdict"] = "drop".into();
            answer["reason"] = reason.as_str().into();
        }
        other => return Err(format!("this version cannot say more than {other:?}")),
    }
    Ok(answer)
}

fn send_into(answer: &mut Value, segment: &Segment, send: &ExplainedSend, frame: &[u8]) -> Result<(), String> {
    let (pool, options) = (&segment.pool, &segment.pool.options);
    let socket = pool.choose(send.source_port);
    let source_port = options.is_udp.then(|| pool.port(socket));
    let flow_label = pool.sends_flow_labels(socket).then(|| pool.flow_label(socket, send.flow));
    let underlay_mtu = pool.underlay.mtu.load(Ordering::Relaxed) as usize;
    answer["source_port"] = source_port.into();
    let mut destinations = Vec::with_capacity(send.destinations.len());
    for to in &send.destinations {
        let packet = OuterPacket {
            source: segment.plan.local,
            destination: to.address,
            ports: source_port.map(|source_port| (source_port, to.port)),
            traffic_class: send.traffic_class,
            ttl: send.ttl,
            df: options.df,
            flow_label,
            checksum: options.is_udp && options.udp_checksum,
            flow: send.flow,
            tunnel_header: &send.header,
        };
        let bytes = packet.bytes(frame).map_err(|error| format!("no packet to {}: {error}", to.address))?;
        destinations.push(json!({
            "remote": to.address,
            "port": source_port.map(|_| to.port),
            "length": bytes.len(),
            "by_kernel": packet.by_kernel(),
            "fragmented": !options.df && bytes.len() > underlay_mtu,
            "bytes": hex::encode(&bytes),
        }));
    }
    answer["destinations"] = destinations.into();
    Ok(())
}

/// What would happen to a datagram from `remote`, that came to the socket of this segment.
pub(crate) fn of_datagram(state: &State, socket_of: &Segment, remote: IpAddr, ecn: u8, datagram: &[u8]) -> Value {
    let rules = &socket_of.plan.options.rules;
    let mut received = Received::new(rules.encapsulation, remote);
    (received.port, received.underlay, received.ecn) = (rules.port, rules.underlay, Ecn::from_bits(ecn));
    let explained = state.endpoint.explain_from_underlay(datagram, received, state.now());
    let segments = state.segments();
    let segment = segments.iter().find(|segment| Some(segment.id) == explained.segment);
    let frame_at = rules.encapsulation.frame_offset(datagram);
    let frame = frame_at.and_then(|at| datagram.get(at..)).unwrap_or_default();
    let mut answer = head(state, segment, &json!(remote), frame, explained.source, explained.destination);
    match explained.verdict {
        Ok(frame) => {
            answer["verdict"] = "deliver".into();
            answer["tap"] = json!(segment.map(|segment| &segment.plan.options.tap));
            answer["bytes"] = hex::encode(&frame).into();
        }
        Err(reason) => {
            answer["verdict"] = "drop".into();
            answer["reason"] = reason.as_str().into();
        }
    }
    answer
}

/// Whose it is, what it is, and the rows of its stations.
fn head(
    state: &State,
    segment: Option<&Segment>,
    from: &Value,
    frame: &[u8],
    source: Option<Row>,
    destination: Option<Row>,
) -> Value {
    let row = |row: Row| {
        json!({
            "mac": row.mac,
            "remote": row.to.remote().and_then(|remote| state.endpoint.remote_address(remote)),
            "state": match row.state {
                RowState::Static => "static",
                RowState::Registry => "registry",
                RowState::Learned => "learned",
            },
            "age_s": row.age.map(|age| age.as_secs()),
        })
    };
    let ethernet = EthernetHeader::from_prefix(frame).ok().map(|(ethernet, _)| ethernet);
    let rules = segment.map(|segment| &segment.plan.options.rules);
    json!({
        "segment": segment.map(Segment::name),
        "encapsulation": rules.map(|rules| rules.encapsulation.as_str()),
        "vni": rules.map(|rules| rules.vni),
        "from": from,
        "frame": {
            "length": frame.len(),
            "destination": ethernet.map(EthernetHeader::destination),
            "source": ethernet.map(EthernetHeader::source),
            "ether_type": ethernet.map(|ethernet| ethernet.ether_type().to_string()),
        },
        "source_row": source.map(row),
        "destination_row": destination.map(row),
    })
}
