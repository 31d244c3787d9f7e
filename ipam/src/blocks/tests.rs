use std::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::*;
use crate::{AddressRange, choice::Choice};

const NOW: Duration = Duration::from_secs(1_700_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Blocks of four addresses.
fn options() -> BlocksOptions {
    BlocksOptions::new([net("10.0.0.0/28")], 30)
}

fn blocks(options: BlocksOptions) -> Blocks<String> {
    Blocks::new(options).unwrap()
}

fn allocate(blocks: &mut Blocks<String>, node: &str, owner: &str) -> String {
    match blocks.allocate(node, owner, NOW) {
        Ok(grant) => {
            let what = [(grant.is_new, " new"), (grant.is_borrowed, " borrowed")];
            let what = what.into_iter().filter(|(is, _)| *is).map(|(_, what)| what);
            format!("{}{}", grant.address, what.collect::<String>())
        }
        Err(error) => error.to_string(),
    }
}

fn fill(blocks: &mut Blocks<String>, node: &str, count: usize) {
    for _ in 0..count {
        blocks.allocate(node, node, NOW).unwrap();
    }
}

#[test]
fn its_own_blocks_first_then_a_new_one() {
    let mut blocks = blocks(options());
    assert_eq!(allocate(&mut blocks, "n1", "a"), "10.0.0.0 new");
    assert_eq!(allocate(&mut blocks, "n2", "a"), "10.0.0.4 new");
    assert_eq!(allocate(&mut blocks, "n1", "b"), "10.0.0.1");
    fill(&mut blocks, "n1", 3);
    assert_eq!(allocate(&mut blocks, "n1", "c"), "10.0.0.9");
    assert_eq!(blocks.release(ip("10.0.0.2")), Ok(None));
    assert_eq!(allocate(&mut blocks, "n1", "c"), "10.0.0.2", "the lowest of its blocks with room");
    let usage = blocks.usage_of("n1").unwrap();
    assert_eq!((usage.blocks, usage.addresses.allocated, usage.addresses.free), (2, 6, 2.into()));
    assert_eq!(blocks.release_all("a"), [ip("10.0.0.0"), ip("10.0.0.4")]);
    assert_eq!(blocks.node_of(ip("10.0.0.1")), Some(&"n1".into()));
    assert_eq!(blocks.node_of(ip("10.0.0.0")), None);
}

#[test]
fn the_error_says_which_limit_it_was() {
    let mut capped = blocks(BlocksOptions { max_blocks: Some(1), ..options() });
    fill(&mut capped, "n1", 4);
    let error = "the node's 1 blocks are full, and it may not have more; borrowing is off";
    assert_eq!(allocate(&mut capped, "n1", "a"), error);
    let error = capped.claim_block(net("10.0.0.8/30"), "n1", NOW).unwrap_err().to_string();
    assert_eq!(error, "10.0.0.8/30: the node has 1 blocks, and may not have more");
    let error = capped.claim(ip("10.0.0.9"), "n1", "a", NOW).unwrap_err().to_string();
    assert_eq!(error, "10.0.0.9 is of 10.0.0.8/30, which the node may not have: it has 1 already");

    let mut open = blocks(options());
    fill(&mut open, "n1", 13);
    let error = "no block is free, and the node's 0 are full; borrowing is off";
    assert_eq!(allocate(&mut open, "n2", "a"), error);
    assert!(open.usage_of("n2").is_none() && open.nodes().count() == 1, "nothing is left of it");

    let mut borrowing = blocks(BlocksOptions { max_blocks: Some(1), borrow: true, ..options() });
    fill(&mut borrowing, "n1", 4);
    let error = "the node's 1 blocks are full, and it may not have more; no other node's has room";
    assert_eq!(allocate(&mut borrowing, "n1", "a"), error);
}

#[test]
fn a_node_borrows_when_it_can_have_no_block() {
    let mut blocks = blocks(BlocksOptions { max_blocks: Some(1), borrow: true, ..options() });
    fill(&mut blocks, "n1", 4);
    fill(&mut blocks, "n2", 1);
    assert_eq!(allocate(&mut blocks, "n1", "a"), "10.0.0.5 borrowed");
    assert_eq!(blocks.node_of(ip("10.0.0.5")), Some(&"n1".into()));
    let (n1, n2) = (blocks.usage_of("n1").unwrap(), blocks.usage_of("n2").unwrap());
    assert_eq!((n1.borrowed, n1.addresses.lent, n2.borrowed, n2.addresses.lent), (1, 0, 0, 1));
    assert_eq!(n2.addresses.allocated, 2);
    blocks.release(ip("10.0.0.3")).unwrap();
    assert_eq!(allocate(&mut blocks, "n1", "b"), "10.0.0.3", "its own before others'");
    let grant = blocks.claim(ip("10.0.0.7"), "n1", "c", NOW).unwrap();
    assert!(grant.is_borrowed && !grant.is_new);
    assert_eq!(blocks.usage().borrowed, 2);
}

#[test]
fn a_dead_nodes_blocks_go_but_for_what_is_lent() {
    let mut blocks = blocks(BlocksOptions { max_blocks: Some(2), borrow: true, ..options() });
    fill(&mut blocks, "n1", 5);
    fill(&mut blocks, "n2", 8);
    // n2 borrows of n1's second block, n3 gets nothing but that.
    assert_eq!(allocate(&mut blocks, "n2", "lent"), "10.0.0.5 borrowed");
    fill(&mut blocks, "n1", 2);
    blocks.release(ip("10.0.0.8")).unwrap();
    let released = blocks.release_node("n1");
    let own = ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.6", "10.0.0.7"];
    assert_eq!(released.addresses, own.map(ip));
    assert_eq!((released.blocks, released.kept), (vec![net("10.0.0.0/30")], vec![net("10.0.0.4/30")]));
    assert!(blocks.usage_of("n1").is_none());
    let kept = blocks.block_of(ip("10.0.0.5")).unwrap();
    assert_eq!((kept.node, kept.usage.allocated, kept.usage.lent), (None, 1, 1));

    // No more are given of it, and nobody gets it.
    assert_eq!(allocate(&mut blocks, "n3", "x"), "10.0.0.0 new");
    fill(&mut blocks, "n3", 3);
    assert_eq!(allocate(&mut blocks, "n3", "x"), "10.0.0.8 borrowed");
    let error = blocks.claim_block(net("10.0.0.4/30"), "n3", NOW).unwrap_err().to_string();
    assert_eq!(error, "10.0.0.4/30 has no node, and is free once its addresses are released: there are 1");
    assert_eq!(blocks.release(ip("10.0.0.5")), Ok(Some(net("10.0.0.4/30"))));
    assert_eq!(allocate(&mut blocks, "n3", "x"), "10.0.0.4 new");

    // What it borrowed goes with a node, too.
    let released = blocks.release_node("n3");
    assert_eq!(released.addresses.last(), Some(&ip("10.0.0.8")));
    assert_eq!(blocks.release_node("n3"), ReleasedNode::default());
    assert_eq!(blocks.usage_of("n2").unwrap().addresses.lent, 0);
}

#[test]
fn empty_blocks_go_back() {
    let mut kept = blocks(options());
    fill(&mut kept, "n1", 5);
    kept.claim_block(net("10.0.0.12/30"), "n2", NOW).unwrap();
    kept.release(ip("10.0.0.4")).unwrap();
    assert_eq!(kept.reclaim(), [net("10.0.0.4/30"), net("10.0.0.12/30")]);
    assert_eq!(kept.reclaim(), []);
    let error = kept.release_block(net("10.0.0.0/30")).unwrap_err().to_string();
    assert_eq!(error, "10.0.0.0 of 10.0.0.0/30 is n1's, and 3 more are held");
    for wrong in ["10.0.0.4/30", "10.0.0.0/29", "10.0.0.1/30", "::/30"] {
        let error = kept.release_block(net(wrong)).unwrap_err().to_string();
        assert_eq!(error, format!("{wrong} is no block that a node has"));
    }
    kept.release_all("n1");
    kept.release_block(net("10.0.0.0/30")).unwrap();
    assert_eq!(kept.usage(), blocks(options()).usage());

    let mut gone = blocks(BlocksOptions { reclaim: true, ..options() });
    fill(&mut gone, "n1", 5);
    assert_eq!(gone.release(ip("10.0.0.4")), Ok(Some(net("10.0.0.4/30"))));
    gone.release_all("n1");
    assert_eq!(gone.usage(), blocks(options()).usage());
}

#[test]
fn what_is_reserved_is_given_by_name_only() {
    let reserved = ["10.0.0.0-10.0.0.1", "10.0.0.3-10.0.0.5", "10.0.0.6-10.0.0.9"];
    let mut blocks = blocks(BlocksOptions { reserved: reserved.map(|text| text.parse().unwrap()).into(), ..options() });
    assert_eq!(blocks.usage().addresses.reserved, 9.into());
    assert_eq!(allocate(&mut blocks, "n1", "a"), "10.0.0.2 new");
    assert_eq!(allocate(&mut blocks, "n1", "a"), "10.0.0.10 new", "not the block that is reserved as a whole");
    blocks.claim(ip("10.0.0.5"), "n1", "b", NOW).unwrap();
    blocks.claim(ip("10.0.0.0"), "n1", "b", NOW).unwrap();
    let usage = blocks.usage_of("n1").unwrap().addresses;
    assert_eq!((usage.total, usage.allocated, usage.reserved, usage.free), (12.into(), 4, 7.into(), 1.into()));
    blocks.release_all("b");
    assert_eq!(blocks.usage().addresses.reserved, 9.into());
    assert_eq!(blocks.usage_of("n1").unwrap().addresses.reserved, 9.into());
    blocks.release_all("a");
    assert_eq!(blocks.reclaim().len(), 3);
}

#[test]
fn what_is_no_block_or_no_address() {
    let mut blocks = blocks(options());
    fill(&mut blocks, "n1", 1);
    let claim = |blocks: &mut Blocks<String>, text| blocks.claim_block(net(text), "n2", NOW).unwrap_err().to_string();
    assert_eq!(claim(&mut blocks, "10.0.0.0/30"), "10.0.0.0/30 is n1's");
    assert_eq!(claim(&mut blocks, "10.0.0.0/29"), "10.0.0.0/29: the pool's blocks are of /30");
    assert_eq!(
        claim(&mut blocks, "10.0.0.2/30"),
        "10.0.0.2/30 has bits set behind its prefix length: 10.0.0.0/30 is meant?"
    );
    assert_eq!(claim(&mut blocks, "10.0.1.0/30"), "10.0.1.0/30 is not within the pool");
    let claim = |blocks: &mut Blocks<String>, text| blocks.claim(ip(text), "n2", "a", NOW).unwrap_err().to_string();
    assert_eq!(claim(&mut blocks, "10.0.0.0"), "10.0.0.0 is n1's");
    assert_eq!(claim(&mut blocks, "10.0.0.1"), "10.0.0.1 is of 10.0.0.0/30, which is n1's; borrowing is off");
    assert_eq!(claim(&mut blocks, "10.0.1.1"), "10.0.1.1 is not within the pool");
    assert_eq!(blocks.release(ip("10.0.0.1")).unwrap_err().to_string(), "10.0.0.1 is not allocated");
    assert_eq!(blocks.release(ip("::1")).unwrap_err().to_string(), "::1 is not within the pool");
    assert_eq!(blocks.release_from(ip("10.0.0.0"), "a").unwrap_err().to_string(), "10.0.0.0 is n1's");
    assert_eq!(blocks.nodes().count(), 1, "nothing is left of what was refused");

    let error = Blocks::<String>::new(BlocksOptions::new([net("10.0.0.0/24")], 23)).unwrap_err();
    assert_eq!(error.to_string(), "subnets of /23 are larger than their network 10.0.0.0/24");
    let error = Blocks::<String>::new(BlocksOptions::new([net("10.0.0.0/24")], 33)).unwrap_err();
    assert_eq!(error, ConfigError::Lengths { shortest: 33, longest: 33, width: 32 });
    assert_eq!(
        blocks.add_prefix(net("10.0.0.0/31")).unwrap_err().to_string(),
        "subnets of /30 are larger than their network 10.0.0.0/31"
    );
    blocks.add_prefix(net("10.0.1.0/30")).unwrap();
    fill(&mut blocks, "n1", 19);
    assert_eq!(blocks.blocks().last().unwrap().block, net("10.0.1.0/30"));
}

#[test]
fn up_to_the_ends_of_the_address_space() {
    for (prefix, length, last, first) in [
        ("::/0", 0, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"),
        ("::/0", 128, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::"),
        ("0.0.0.0/0", 0, "255.255.255.255", "0.0.0.0"),
        ("0.0.0.0/0", 24, "255.255.255.255", "255.255.255.0"),
    ] {
        let mut options = BlocksOptions::new([net(prefix)], length);
        options.reserved = vec![AddressRange::from(ip(last))];
        let mut blocks = blocks(options);
        blocks.claim(ip(last), "n1", "last", NOW).unwrap();
        let grant = blocks.allocate("n1", "first", NOW).unwrap();
        assert_eq!(grant.address, ip(first));
        blocks.release(ip(last)).unwrap();
        assert_eq!(blocks.usage_of("n1").unwrap().addresses.reserved, 1.into());
        assert_eq!(blocks.release_node("n1").addresses, [grant.address]);
        assert_eq!(blocks.usage().blocks.grants, 0);
    }
}

#[test]
fn thousands_of_blocks() {
    let mut blocks =
        Blocks::<u32>::new(BlocksOptions { borrow: true, ..BlocksOptions::new([net("10.0.0.0/16")], 28) }).unwrap();
    for number in 0..65_536_u32 {
        blocks.allocate(&(number % 7), &number, NOW).unwrap();
    }
    assert!(blocks.allocate(&0, &0, NOW).is_err());
    assert_eq!(blocks.usage().addresses.free, 0.into());
    for node in 0..7 {
        blocks.release_node(&node);
    }
    assert_eq!(blocks.usage().blocks.largest_free, Some(16));
}

#[test]
fn the_changes_make_the_same_blocks() {
    let mut options = BlocksOptions { max_blocks: Some(2), borrow: true, reclaim: true, ..options() };
    options.reserved = vec!["10.0.0.1".parse().unwrap()];
    options.choice = Choice::Next;
    let mut blocks = blocks(options);
    let mut copy = Blocks::restore(blocks.changes()).unwrap();
    let both = |blocks: &mut Blocks<String>, copy: &mut Blocks<String>, change: BlocksChange<String>| {
        blocks.apply(&change).unwrap();
        copy.apply(&change).unwrap();
    };
    for (node, count) in [("n1", 5), ("n2", 8), ("n1", 1)] {
        for _ in 0..count {
            let address = blocks.allocate(node, "a", NOW).unwrap().address;
            copy.apply(&BlocksChange::Granted { address, node: node.into(), owner: "a".into(), at: NOW }).unwrap();
        }
    }
    let lent = blocks.allocate("n2", "b", NOW).unwrap();
    assert!(lent.is_borrowed);
    copy.apply(&BlocksChange::Granted { address: lent.address, node: "n2".into(), owner: "b".into(), at: NOW })
        .unwrap();
    both(&mut blocks, &mut copy, BlocksChange::NodeReleased { node: "n1".into(), at: NOW });
    both(&mut blocks, &mut copy, BlocksChange::PrefixAdded(net("10.0.9.0/30")));
    both(
        &mut blocks,
        &mut copy,
        BlocksChange::BlockGranted { block: net("10.0.9.0/30"), node: Some("n4".into()), at: NOW },
    );
    let restored = Blocks::restore(blocks.changes()).unwrap();
    for other in [&copy, &restored] {
        assert!(other.changes().eq(blocks.changes()));
        assert_eq!(other.usage(), blocks.usage());
        assert_eq!(other.usage_of("n2"), blocks.usage_of("n2"));
    }
    both(&mut blocks, &mut copy, BlocksChange::Released { address: lent.address, at: NOW });
    both(&mut blocks, &mut copy, BlocksChange::BlockReleased { block: net("10.0.9.0/30"), at: NOW });
    assert_eq!(copy.usage(), blocks.usage());

    let refused = |blocks: &mut Blocks<String>, change| blocks.apply(&change).unwrap_err().to_string();
    let granted =
        |address| BlocksChange::Granted { address: ip(address), node: "n".into(), owner: "o".into(), at: NOW };
    let held = blocks.grants().next().unwrap().prefix.addr().to_string();
    assert_eq!(refused(&mut blocks, granted(&held)), format!("{held} is given while somebody has {held}"));
    assert_eq!(refused(&mut blocks, granted("::1")), "::1 is given, and not part of the pool");
    let block = blocks.blocks().next().unwrap().block;
    let again = BlocksChange::BlockGranted { block, node: Some("n".into()), at: NOW };
    assert_eq!(refused(&mut blocks, again), format!("{block} is given while somebody has {block}"));
    let gone = BlocksChange::BlockReleased { block, at: NOW };
    assert_eq!(refused(&mut blocks, gone), format!("{block} is released, and nobody has it"));
}

#[cfg(feature = "std")]
#[test]
fn as_text_and_as_bytes() {
    let text = r#"{"prefixes":["10.0.0.0/16"],"block_length":26,"max_blocks":4,"borrow":true}"#;
    let options: BlocksOptions = serde_json::from_str(text).unwrap();
    let mut blocks = blocks(options);
    fill(&mut blocks, "n1", 1);
    blocks.release_all("n1");
    fill(&mut blocks, "n1", 1);
    for change in blocks.changes() {
        let bytes = postcard::to_allocvec(&change).unwrap();
        assert_eq!(postcard::from_bytes::<BlocksChange<String>>(&bytes).unwrap(), change);
    }
    let error = serde_json::from_str::<BlocksOptions>(r#"{"prefixes":[],"block_length":26,"cap":4}"#).unwrap_err();
    assert!(error.to_string().starts_with("unknown field `cap`"));
}

/// Only to see that both kinds of names need not be the same.
#[test]
fn nodes_and_owners_of_different_kinds() {
    let mut blocks = Blocks::<u64, String>::new(options()).unwrap();
    let node = blocks.enroll_node("n1").unwrap();
    let grants: Vec<_> = (0..3).map(|owner| blocks.allocate(node, &owner, NOW).unwrap().address).collect();
    assert_eq!(blocks.grants_of(&1).map(|grant| grant.prefix.addr()).collect::<Vec<_>>(), [grants[1]]);
}
