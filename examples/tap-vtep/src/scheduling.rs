//! How the kernel's scheduler treats workers.
#![allow(unsafe_code)]

/// Has the calling thread not interrupt others when it wakes up (`SCHED_BATCH`), unless somebody has chosen a policy for it
/// already. On a free core it wakes as fast as ever; where a guest's program has the core, more arrives meanwhile, and goes as
/// one batch.
///
/// # Errors
///
/// Those of `sched_setscheduler`: a filter of system calls does not let us.
pub(crate) fn interrupt_nobody() -> rustix::io::Result<()> {
    // SAFETY: both calls are about the calling thread; the second reads a structure that outlives it.
    let status = unsafe {
        if libc::sched_getscheduler(0) != libc::SCHED_OTHER {
            return Ok(());
        }
        libc::sched_setscheduler(0, libc::SCHED_BATCH, &libc::sched_param { sched_priority: 0 })
    };
    if status < 0 { Err(crate::receive::last_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_of_its_own_interrupts_nobody() {
        // SAFETY: it only asks for the policy of the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let in_thread = std::thread::spawn(move || (interrupt_nobody(), policy())).join().unwrap();
        let expected = if before == libc::SCHED_OTHER { libc::SCHED_BATCH } else { before };
        assert_eq!(in_thread, (Ok(()), expected));
        assert_eq!(policy(), before);
    }
}
