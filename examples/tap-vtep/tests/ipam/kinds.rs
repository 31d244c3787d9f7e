//! What each kind of pool does.

use serde_json::json;

use crate::Directory;

#[test]
fn flannels_subnets() {
    let directory = Directory::new();
    directory
        .ok("init pool 10.42.0.0/16 --flannel --subnet-min 10.42.4.0 --subnet-max 10.42.7.0 --reserve 10.42.5.0/24");
    let options = directory.json("list pool")["options"].take();
    assert_eq!((&options["shortest"], &options["longest"]), (&json!(24), &json!(24)));
    assert_eq!(options["window"], "10.42.4.0-10.42.7.255");
    assert_eq!(options["choice"]["random"]["among"], 100);
    let other = Directory::new();
    other.ok("init pool 10.42.0.0/16 --flannel");
    let seed = |value: &serde_json::Value| value["choice"]["random"]["seed"].as_u64().unwrap();
    assert_ne!(seed(&options), seed(&other.json("list pool")["options"]));

    let mut subnets: Vec<String> = (0..3).map(|_| directory.ok("allocate pool --owner a")).collect();
    subnets.sort_unstable();
    assert_eq!(subnets, ["10.42.4.0/24\n", "10.42.6.0/24\n", "10.42.7.0/24\n"]);
    let (status, error) = directory.refused("allocate pool --owner a");
    assert_eq!((status, error.as_str()), (1, "no /24 is free: nothing is free at all"));
    assert_eq!(directory.ok("claim pool 10.42.5.0/24 --owner a"), "");
}

#[test]
fn the_choice_goes_on_from_one_process_to_the_next() {
    let directory = Directory::new();
    directory.ok("init next 10.0.0.0/24 --choice next --shortest 26 --longest 26");
    let take = |pool: &str| directory.ok(&format!("allocate {pool} --owner a"));
    assert_eq!([take("next"), take("next")], ["10.0.0.0/26\n", "10.0.0.64/26\n"]);
    directory.ok("release next --all --owner a");
    assert_eq!([take("next"), take("next"), take("next")], ["10.0.0.128/26\n", "10.0.0.192/26\n", "10.0.0.0/26\n"]);

    directory.ok("init tight 10.0.0.0/24 --choice best-fit");
    directory.ok("claim tight 10.0.0.192/27 --owner a");
    assert_eq!(directory.ok("allocate tight --owner a --length 28"), "10.0.0.224/28\n");

    directory.ok("init random 10.0.0.0/24 --choice random --shortest 32");
    let mut all: Vec<String> = directory.ok("allocate random --owner a --count 256").lines().map(Into::into).collect();
    assert!(!all.is_sorted_by_key(|prefix| prefix.parse::<ipnet::IpNet>().unwrap()));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 256);
}

#[test]
fn addresses_of_a_subnet() {
    let directory = Directory::new();
    directory.ok(
        "init pool 192.0.2.0/28 --kind addresses --gateway 192.0.2.1 --range 192.0.2.1-192.0.2.4 --range 192.0.2.8 \
         --exclude 192.0.2.3 --reserve 192.0.2.4 --cool-down 1h --sticky 8",
    );
    assert_eq!(directory.ok("allocate pool --owner a"), "192.0.2.2\n");
    assert_eq!(directory.json("allocate pool --owner b")[0]["address"], "192.0.2.8");
    assert_eq!(directory.refused("allocate pool --owner c"), (1, "no address is free; 1 reserved".into()));
    for (address, error) in [
        ("192.0.2.0", "192.0.2.0 is the subnet's own address"),
        ("192.0.2.1", "192.0.2.1 is the gateway"),
        ("192.0.2.2", "192.0.2.2 is a's"),
        ("192.0.2.3", "192.0.2.3 is excluded from the pool"),
        ("192.0.2.5", "192.0.2.5 is in none of the pool's ranges"),
        ("192.0.2.15", "192.0.2.15 is the subnet's broadcast address"),
        ("192.0.2.16", "192.0.2.16 is not within 192.0.2.0/28"),
        ("192.0.2.4/31", "192.0.2.4/31 is not a single address"),
    ] {
        assert_eq!(directory.refused(&format!("claim pool {address} --owner c")), (2, error.into()));
    }
    assert_eq!(directory.ok("claim pool 192.0.2.4 --owner c"), "");
    assert_eq!(directory.ok("release pool 192.0.2.2/32"), "");
    assert_eq!(
        directory.ok("list pool"),
        "PREFIX        USAGE                   GRANTS  ALLOCATED  FREE  RESERVED  COOLING  LARGEST FREE  FRAGMENTATION\n\
         192.0.2.0/28  [#############~~~~~~~]       2          2     0         0        1             -           0.0%\n\
         \n\
         PREFIX     OWNER  SINCE                 AGE\n\
         192.0.2.4  c      ________TIME________  AGE\n\
         192.0.2.8  b      ________TIME________  AGE\n",
    );
    let (status, error) = directory.refused("allocate pool --owner d");
    assert_eq!(status, 1);
    assert!(error.starts_with("no address is free; 1 cooling down, the next one is free in "), "{error}");
    let (status, error) = directory.refused("claim pool 192.0.2.2 --owner d");
    assert_eq!(status, 2);
    assert!(error.starts_with("192.0.2.2 is cooling down, and free in "), "{error}");
    assert_eq!(directory.ok("allocate pool --owner a"), "192.0.2.2\n", "its last owner gets it again");
    assert_eq!(
        directory.ok("history pool 192.0.2.2"),
        "PREFIX     OWNER  FROM                  TO\n\
         192.0.2.2  a      ________TIME________  ________TIME________\n\
         192.0.2.2  a      ________TIME________  now\n",
    );

    let ran = directory.run(
        "plan pool --exclude 192.0.2.8 --remove-range 192.0.2.2 --gateway 192.0.2.4 --set-subnet 192.0.2.0/29 \
         --include 192.0.2.3 --add-range 192.0.2.9",
    );
    assert_eq!((ran.status, ran.errors.as_str()), (1, ""));
    assert_eq!(
        ran.text,
        "--exclude 192.0.2.8: would orphan 1\n  \
           192.0.2.8  b  since ________TIME________\n\
         --remove-range 192.0.2.2: would orphan 1\n  \
           192.0.2.2  a  since ________TIME________\n\
         --gateway 192.0.2.4: would orphan 1\n  \
           192.0.2.4  c  since ________TIME________\n\
         --set-subnet 192.0.2.0/29: would orphan 1\n  \
           192.0.2.8  b  since ________TIME________\n\
         --include 192.0.2.3: orphans nothing\n\
         --add-range 192.0.2.9: orphans nothing\n",
    );
    let text = directory.ok("plan pool --include 192.0.2.3 --gateway none --unreserve 192.0.2.4 --apply");
    assert!(text.ends_with("\napplied\n"), "{text}");
    assert_eq!(directory.ok("allocate pool --owner d --count 2"), "192.0.2.1\n192.0.2.3\n");
    directory.ok("check pool");
}

#[test]
fn both_families_or_none() {
    let directory = Directory::new();
    directory.ok("init pool 2001:db8::/64 192.0.2.0/30 --kind addresses --gateway 2001:db8::1 --exclude 2001:db8::2 \
         --reserve 192.0.2.1");
    assert_eq!(directory.ok("allocate pool --owner pod-1"), "192.0.2.2\n2001:db8::3\n");
    assert_eq!(directory.refused("allocate pool --owner pod-2"), (1, "IPv4: no address is free; 1 reserved".into()));
    assert_eq!(directory.ok("claim pool 192.0.2.1 --owner pod-2"), "");
    assert_eq!(directory.ok("claim pool 2001:db8::4 --owner pod-2"), "");
    assert_eq!(directory.refused("claim pool 2001:db8::4 --owner pod-3"), (2, "2001:db8::4 is pod-2's".into()));
    assert_eq!(directory.refused("plan pool --gateway none"), (2, "--gateway none: the pool has two gateways".into()));
    let ran = directory.run("plan pool --exclude 2001:db8::4 --set-subnet 192.0.2.0/29");
    assert_eq!(
        (ran.status, ran.text.as_str()),
        (
            1,
            "--exclude 2001:db8::4: would orphan 1\n  \
               2001:db8::4  pod-2  since ________TIME________\n\
             --set-subnet 192.0.2.0/29: orphans nothing\n"
        )
    );
    assert_eq!(
        directory.ok("plan pool --set-subnet 192.0.2.0/29 --apply"),
        "--set-subnet 192.0.2.0/29: orphans nothing\napplied\n"
    );
    assert_eq!(
        directory.ok("allocate pool --owner pod-3 --count 2"),
        "192.0.2.3\n2001:db8::5\n192.0.2.4\n2001:db8::6\n"
    );
    assert_eq!(directory.ok("release pool --all --owner pod-3"), "192.0.2.3\n192.0.2.4\n2001:db8::5\n2001:db8::6\n");
    assert_eq!(
        directory.ok("list pool"),
        "PREFIX         USAGE                   GRANTS  ALLOCATED                  FREE  RESERVED  COOLING  LARGEST FREE  FRAGMENTATION\n\
         192.0.2.0/29   [#######.............]       2          2                     4         0        0           /31          50.0%\n\
         2001:db8::/64  [#...................]       2          2  18446744073709551611         0        0           /65          50.0%\n\
         \n\
         PREFIX       OWNER  SINCE                 AGE\n\
         192.0.2.1    pod-2  ________TIME________  AGE\n\
         192.0.2.2    pod-1  ________TIME________  AGE\n\
         2001:db8::3  pod-1  ________TIME________  AGE\n\
         2001:db8::4  pod-2  ________TIME________  AGE\n",
    );
    directory.ok("check pool");
}

#[test]
fn blocks_of_nodes() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/26 --kind blocks --block-length 28 --cap 1 --reserve 10.0.0.0");
    assert_eq!(directory.ok("allocate pool --node one --owner a --count 2"), "10.0.0.1\n10.0.0.2\n");
    assert_eq!(directory.json("allocate pool --node two --owner b")[0]["node"], "two");
    assert_eq!(directory.ok("claim pool 10.0.0.32/28 --node three"), "");
    assert_eq!(directory.ok("claim pool 10.0.0.0 --node one --owner b"), "");
    assert_eq!(
        directory.ok("list pool"),
        "PREFIX        NODE   USAGE                   GRANTS  ALLOCATED  FREE  RESERVED  COOLING  LARGEST FREE  FRAGMENTATION\n\
         10.0.0.0/26   -      [#...................]       4          4    60         0        0           /27          46.7%\n\
         10.0.0.0/28   one    [####................]       3          3    13         0        0             -              -\n\
         10.0.0.16/28  two    [#...................]       1          1    15         0        0             -              -\n\
         10.0.0.32/28  three  [....................]       0          0    16         0        0             -              -\n\
         \n\
         PREFIX     NODE  OWNER  SINCE                 AGE\n\
         10.0.0.0   one   b      ________TIME________  AGE\n\
         10.0.0.1   one   a      ________TIME________  AGE\n\
         10.0.0.2   one   a      ________TIME________  AGE\n\
         10.0.0.16  two   b      ________TIME________  AGE\n",
    );
    assert_eq!(
        directory.refused("allocate pool --node one --owner c --count 14"),
        (1, "the node's 1 blocks are full, and it may not have more; borrowing is off".into())
    );
    assert_eq!(
        directory.refused("claim pool 10.0.0.17 --node one --owner c"),
        (2, "10.0.0.17 is of 10.0.0.16/28, which is two's; borrowing is off".into())
    );
    assert_eq!(
        directory.refused("claim pool 10.0.0.48/28 --node one"),
        (1, "10.0.0.48/28: the node has 1 blocks, and may not have more".into())
    );
    assert_eq!(
        directory.refused("release pool 10.0.0.0/28"),
        (2, "10.0.0.0 of 10.0.0.0/28 is b's, and 2 more are held".into())
    );
    assert_eq!(directory.ok("release pool 10.0.0.32/28"), "");
    assert_eq!(directory.ok("release pool --node one"), "10.0.0.0\n10.0.0.1\n10.0.0.2\n");
    assert_eq!(directory.refused("release pool --node one"), (2, "one has nothing".into()));
    assert_eq!(directory.ok("release pool --all --owner b"), "10.0.0.16\n");
    assert_eq!(
        directory.ok("history pool 10.0.0.0/30"),
        "PREFIX    OWNER  FROM                  TO\n\
         10.0.0.1  a      ________TIME________  ________TIME________\n\
         10.0.0.2  a      ________TIME________  ________TIME________\n\
         10.0.0.0  b      ________TIME________  ________TIME________\n",
    );
    assert_eq!(
        directory.ok("plan pool --add-prefix 10.0.1.0/26 --apply"),
        "--add-prefix 10.0.1.0/26: orphans nothing\napplied\n"
    );
    directory.ok("check pool");

    directory.ok("init lent 10.0.0.0/27 --kind blocks --block-length 28 --cap 1 --borrow --reclaim");
    directory.ok("allocate lent --node one --owner a --count 15");
    assert_eq!(directory.ok("allocate lent --node two --owner a"), "10.0.0.16\n");
    assert_eq!(directory.ok("allocate lent --node one --owner b --count 2"), "10.0.0.15\n10.0.0.17\n");
    assert_eq!(directory.ok("release lent --node two"), "10.0.0.16\n");
    assert_eq!(directory.json("list lent")["usage"][2]["node"], json!(null), "somebody else has an address of it");
    assert_eq!(directory.ok("release lent --all --owner b"), "10.0.0.15\n10.0.0.17\n");
    assert_eq!(directory.json("list lent")["usage"].as_array().unwrap().len(), 2);
    directory.ok("check lent");
}
