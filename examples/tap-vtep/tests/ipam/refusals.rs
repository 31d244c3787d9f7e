//! What is refused, in which words, and with which status.

use crate::Directory;

#[test]
fn no_pool_is_made() {
    let directory = Directory::new();
    directory.ok("init there 10.0.0.0/24");
    let before = std::fs::read(directory.0.join("there")).unwrap();
    for (words, error) in [
        ("init there 10.1.0.0/24", "there: there is a file of that name"),
        ("init no/pool 10.1.0.0/24", "no/pool: cannot open the journal: No such file or directory (os error 2)"),
        ("init pool", "the following required arguments were not provided: <PREFIX>..."),
        ("init pool 10.0.0.0/33", "invalid value '10.0.0.0/33' for '<PREFIX>...': invalid IP address syntax"),
        ("init pool 10.0.0.1/24", "10.0.0.1/24 has bits set behind its prefix length: 10.0.0.0/24 is meant?"),
        ("init pool 10.0.0.0/24 10.0.0.0/25", "10.0.0.0/25 overlaps with 10.0.0.0/24"),
        ("init pool 10.0.0.0/24 ::/64", ":: is not of the family of 10.0.0.0/24"),
        (
            "init pool 10.0.0.0/24 --shortest 28 --longest 26",
            "subnets of /28 to /26 can't be: the shortest has to come first, and /32 is the longest",
        ),
        (
            "init pool 10.0.0.0/24 --reserve 10.0.1.0/24",
            "10.0.1.0-10.0.1.255 is not within the pool: 10.0.1.0 is in none of its prefixes",
        ),
        (
            "init pool 10.0.0.0/24 --reserve 10.0.0.9-10.0.0.8",
            "invalid value '10.0.0.9-10.0.0.8' for '--reserve <RANGE>': 10.0.0.8 is before 10.0.0.9",
        ),
        ("init pool 10.0.0.0/29 --flannel", "10.0.0.0/29 is too small: the smallest useful network is a /28"),
        ("init pool 10.0.0.0/24 10.1.0.0/24 --flannel", "--flannel takes one prefix, not 2"),
        ("init pool 10.0.0.0/24 --subnet-len 26", "the following required arguments were not provided: --flannel"),
        (
            "init pool 10.0.0.0/24 --flannel --choice next",
            "the argument '--flannel' cannot be used with '--choice <CHOICE>'",
        ),
        ("init pool 10.0.0.0/24 --gateway 10.0.0.1", "--gateway is not for a pool of subnets"),
        ("init pool 10.0.0.0/24 --cool-down 60s", "--cool-down is not for a pool of subnets"),
        ("init pool 10.0.0.0/24 --cap 2", "--cap is not for a pool of subnets"),
        ("init pool 10.0.0.0/24 --kind addresses --window 10.0.0.0", "--window is not for a pool of addresses"),
        ("init pool 10.0.0.0/24 --kind addresses --flannel", "--flannel is not for a pool of addresses"),
        ("init pool 10.0.0.0/24 --kind addresses --borrow", "--borrow is not for a pool of addresses"),
        ("init pool 10.0.0.0/24 --kind blocks --sticky 3", "--sticky is not for a pool of blocks"),
        ("init pool 10.0.0.0/24 --kind blocks", "--block-length is needed for a pool of blocks"),
        (
            "init pool 10.0.0.0/24 --kind blocks --block-length 20",
            "subnets of /20 are larger than their network 10.0.0.0/24",
        ),
        (
            "init pool 10.0.0.0/24 10.1.0.0/24 --kind addresses",
            "a pool of addresses has one subnet, or one of IPv4 and one of IPv6",
        ),
        ("init pool 10.0.0.0/24 --kind addresses --gateway ::1", "::1 is not of the family of any subnet of the pool"),
        (
            "init pool 10.0.0.0/24 --kind addresses --gateway 10.0.0.1 --gateway 10.0.0.2",
            "10.0.0.2 is a second gateway: a subnet has one",
        ),
        (
            "init pool 10.0.0.0/24 ::/64 --kind addresses --exclude 10.0.1.0",
            "IPv4: 10.0.1.0 is not within the pool: 10.0.1.0 is in none of its prefixes",
        ),
        (
            "init pool 10.0.0.0/24 --kind addresses --cool-down soon",
            "invalid value 'soon' for '--cool-down <TIME>': expected number at 0",
        ),
    ] {
        assert_eq!(directory.refused(words), (2, error.to_owned()), "{words}");
    }
    let names: Vec<_> = std::fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == "pool" || name == "pool.new"), "{names:?}");
    assert_eq!(std::fs::read(directory.0.join("there")).unwrap(), before);
}

#[test]
fn nothing_is_given_or_taken() {
    let directory = Directory::new();
    directory.ok("init pool 10.0.0.0/24 --shortest 25");
    directory.ok("claim pool 10.0.0.128/26 --owner a");
    let before = directory.ok("list pool");
    for (status, words, error) in [
        (2, "allocate pool --length 26", "the following required arguments were not provided: --owner <NAME>"),
        (2, "allocate pool --owner a", "--length is needed: the pool gives subnets of /25 to /32"),
        (2, "allocate pool --owner a --length 24", "the pool gives subnets of /25 to /32, not of /24"),
        (2, "allocate pool --owner a --length 26 --node b", "--node is not for a pool of subnets"),
        (
            2,
            "allocate pool --owner a --length 26 --count 0",
            "invalid value '0' for '--count <N>': 0 is not in 1..=1000000",
        ),
        (1, "allocate pool --owner a --length 26 --count 4", "no /26 is free: nothing is free at all"),
        (1, "allocate pool --owner a --length 25 --count 2", "no /25 is free: the largest free prefix is a /26"),
        (2, "claim pool 10.0.0.0/26", "the following required arguments were not provided: --owner <NAME>"),
        (2, "claim pool 10.0.0.0/26 --node b", "--node is not for a pool of subnets"),
        (2, "claim pool ten --owner a", "invalid value 'ten' for '<PREFIX|ADDRESS>': neither an address nor a prefix"),
        (2, "claim pool 10.0.1.0/26 --owner a", "10.0.1.0/26 is not within the pool"),
        (2, "claim pool ::1 --owner a", "::1/128 is not within the pool"),
        (2, "claim pool 10.0.0.0/24 --owner a", "10.0.0.0/24: the pool gives subnets of /25 to /32"),
        (
            2,
            "claim pool 10.0.0.1/26 --owner a",
            "10.0.0.1/26 has bits set behind its prefix length: 10.0.0.0/26 is meant?",
        ),
        (2, "claim pool 10.0.0.129 --owner b", "10.0.0.129/32 overlaps with 10.0.0.128/26, which is a's"),
        (2, "release pool", "the following required arguments were not provided: <PREFIX|ADDRESS>"),
        (2, "release pool --all", "the following required arguments were not provided: --owner <NAME>"),
        (2, "release pool --all --owner b", "b has nothing"),
        (2, "release pool --node b", "--node is not for a pool of subnets"),
        (2, "release pool 10.0.0.0/26", "10.0.0.0/26 is not allocated"),
        (2, "release pool 10.0.1.0/26", "10.0.1.0/26 is not within the pool"),
        (2, "release pool 10.0.0.128/27", "10.0.0.128/27 was not given as such: 10.0.0.128/26 is a's"),
        (2, "release pool 10.0.0.128/26 --owner b", "10.0.0.128/26 is a's"),
        (
            2,
            "release pool 10.0.0.129/26",
            "10.0.0.129/26 has bits set behind its prefix length: 10.0.0.128/26 is meant?",
        ),
        (2, "history pool 10.0.1.0", "10.0.1.0/32 is not within the pool, and nobody had it"),
        (2, "plan pool", "no change is given, such as --add-prefix"),
        (2, "plan pool --add-prefix 10.0.0.0/25", "10.0.0.0/25 overlaps with 10.0.0.0/24"),
        (2, "plan pool --remove-prefix 10.0.0.0/25", "10.0.0.0/25 is no prefix of the pool"),
        (2, "plan pool --exclude 10.0.0.0", "--exclude is not for a pool of subnets"),
        (2, "plan pool --gateway 10.0.0.1 --apply", "--gateway is not for a pool of subnets"),
        (
            2,
            "plan pool --add-prefix 10.0.1.0/24 --reserve 10.0.2.0 --apply",
            "10.0.2.0 is not within the pool: 10.0.2.0 is in none of its prefixes",
        ),
    ] {
        assert_eq!(directory.refused(words), (status, error.to_owned()), "{words}");
    }
    for name in ["", "a\nb"] {
        let output = directory.command(["allocate", "pool", "--length", "26", "--owner", name]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
    assert_eq!(directory.ok("list pool"), before);
    assert_eq!(directory.json("check pool")["changes"], 1);
}

#[test]
fn options_of_other_kinds() {
    let directory = Directory::new();
    directory.ok("init addresses 10.0.0.0/24 --kind addresses");
    directory.ok("init both 10.0.0.0/24 ::/64 --kind addresses");
    directory.ok("init blocks 10.0.0.0/24 --kind blocks --block-length 28");
    for (words, error) in [
        ("allocate addresses --owner a --length 32", "--length is not for a pool of addresses"),
        ("allocate addresses --owner a --node b", "--node is not for a pool of addresses"),
        ("claim both 10.0.0.1 --owner a --node b", "--node is not for a pool of addresses"),
        ("allocate both --owner a --length 32", "--length is not for a pool of addresses"),
        ("release both --node b", "--node is not for a pool of addresses"),
        ("plan addresses --add-prefix 10.0.1.0/24", "--add-prefix is not for a pool of addresses"),
        ("plan both --remove-prefix 10.0.0.0/24", "--remove-prefix is not for a pool of addresses"),
        ("plan blocks --reserve 10.0.0.1", "--reserve is not for a pool of blocks"),
        ("allocate blocks --owner a", "--node is needed for a pool of blocks"),
        ("allocate blocks --owner a --node b --length 32", "--length is not for a pool of blocks"),
        ("claim blocks 10.0.0.1 --owner a", "--node is needed for a pool of blocks"),
        ("claim blocks 10.0.0.1 --node b", "--owner is needed: only a block of a pool of blocks has none"),
    ] {
        assert_eq!(directory.refused(words), (2, error.to_owned()), "{words}");
    }
}
