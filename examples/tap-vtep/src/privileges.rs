//! What the program may do in the system once it runs: make and set interfaces and raw sockets, and nothing else.

use rustix::{
    io,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
    },
};

/// For TAPs that come back, for segments that SIGHUP adds, and for NVGRE's sockets.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// Gives up every other capability, for the calling thread and those that it will start.
///
/// # Errors
///
/// Those of `prctl` and `capset`: something outside of us, as a filter of system calls, does not let us.
pub(crate) fn give_up_all_but_needed() -> io::Result<()> {
    set_no_new_privs(true)?;
    let held = capabilities(None)?;
    // Who may not narrow the bounding set has, without new privileges, nothing that it bounds.
    if held.effective.contains(CapabilitySet::SETPCAP) {
        for capability in (0..u64::BITS).map(|number| CapabilitySet::from_bits_retain(1 << number)) {
            match capability_is_in_bounding_set(capability) {
                Ok(true) if !NEEDED.contains(capability) => remove_capability_from_bounding_set(capability)?,
                Ok(_) => {}
                // The kernel knows no more of them.
                Err(_) => break,
            }
        }
    }
    let kept = held.permitted & NEEDED;
    // What is not inheritable is not ambient either.
    let wanted = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    if held == wanted { Ok(()) } else { set_capabilities(None, wanted) }
}
