//! Frames and datagrams in any order, against a model of what may be delivered where.

mod model;

use proptest::prelude::*;

proptest! {
    #[test]
    fn what_goes_on_may_and_what_is_dropped_has_a_cause(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        model::run(&bytes);
    }
}
