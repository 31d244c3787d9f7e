//! Whole sessions.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{Directory, timeless};

#[test]
fn from_init_to_plan() {
    let directory = Directory::new();
    assert_eq!(directory.ok("init pool 10.0.0.0/16 --longest 28 --reserve 10.0.2.0/24"), "");
    assert_eq!(directory.ok("allocate pool --owner first --length 24"), "10.0.0.0/24\n");
    assert_eq!(directory.ok("allocate pool --owner second --length 24"), "10.0.1.0/24\n");
    assert_eq!(directory.ok("allocate pool --owner third --length 23"), "10.0.4.0/23\n");
    assert_eq!(directory.ok("claim pool 10.0.2.0/28 --owner fourth"), "");
    assert_eq!(
        directory.ok("list pool"),
        "PREFIX       USAGE                   GRANTS  ALLOCATED   FREE  RESERVED  COOLING  LARGEST FREE  FRAGMENTATION\n\
         10.0.0.0/16  [#+..................]       4       1040  64256       240        0           /17          49.0%\n\
         \n\
         PREFIX       OWNER   SINCE                 AGE\n\
         10.0.0.0/24  first   ________TIME________  AGE\n\
         10.0.1.0/24  second  ________TIME________  AGE\n\
         10.0.2.0/28  fourth  ________TIME________  AGE\n\
         10.0.4.0/23  third   ________TIME________  AGE\n",
    );

    assert_eq!(directory.ok("release pool 10.0.1.0/24 --owner second"), "");
    assert_eq!(directory.ok("claim pool 10.0.1.128/25 --owner fifth"), "");
    assert_eq!(
        directory.ok("history pool 10.0.1.200"),
        "PREFIX         OWNER   FROM                  TO\n\
         10.0.1.0/24    second  ________TIME________  ________TIME________\n\
         10.0.1.128/25  fifth   ________TIME________  now\n",
    );
    assert_eq!(directory.ok("history pool 10.0.9.0/24"), "nobody had 10.0.9.0/24\n");
    assert_eq!(
        directory.ok("check pool"),
        "pool: sound\n  \
           bytes: N (records: 7); each record is what its checksum says\n  \
           changes: 6; each fits the state before it\n  \
           grants: 4; none overlaps with another, each is inside the pool\n  \
           addresses: what is allocated, free, reserved and cooling is all that the pool has\n",
    );

    let ran =
        directory.run("plan pool --add-prefix 10.1.0.0/16 --remove-prefix 10.0.0.0/16 --unreserve 10.0.2.0/24 --apply");
    assert_eq!((ran.status, ran.errors.as_str()), (1, ""));
    assert_eq!(
        ran.text,
        "--add-prefix 10.1.0.0/16: orphans nothing\n\
         --remove-prefix 10.0.0.0/16: would orphan 4\n  \
           10.0.0.0/24    first   since ________TIME________\n  \
           10.0.1.128/25  fifth   since ________TIME________\n  \
           10.0.2.0/28    fourth  since ________TIME________\n  \
           10.0.4.0/23    third   since ________TIME________\n\
         --unreserve 10.0.2.0-10.0.2.255: orphans nothing\n",
    );
    let planned = "plan pool --add-prefix 10.1.0.0/16 --unreserve 10.0.2.0/24";
    let effects = "--add-prefix 10.1.0.0/16: orphans nothing\n--unreserve 10.0.2.0-10.0.2.255: orphans nothing\n";
    assert_eq!(directory.ok(planned), effects, "nothing was applied before");
    assert_eq!(directory.ok(&format!("{planned} --apply")), format!("{effects}applied\n"));

    assert_eq!(directory.ok("release pool --all --owner first"), "10.0.0.0/24\n");
    assert_eq!(directory.ok("allocate pool --owner sixth --length 28"), "10.0.0.0/28\n");
    assert_eq!(
        directory.ok("list pool --owner sixth"),
        "PREFIX       USAGE                   GRANTS  ALLOCATED    FREE  RESERVED  COOLING  LARGEST FREE  FRAGMENTATION\n\
         all          [#...................]       4        672  130400         0        0           /16          49.7%\n\
         10.0.0.0/16  [#...................]       4        672   64864         0        0           /17          49.5%\n\
         10.1.0.0/16  [....................]       0          0   65536         0        0           /16           0.0%\n\
         \n\
         PREFIX       OWNER  SINCE                 AGE\n\
         10.0.0.0/28  sixth  ________TIME________  AGE\n",
    );
    directory.ok("check pool");
}

/// Takes the times out of a document, and looks whether they fit together.
fn without_times(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(without_times),
        Value::Object(fields) => {
            for name in ["since", "from", "to"] {
                let (seconds, text) = (fields.remove(name), fields.remove(&format!("{name}_utc")));
                match (seconds, text) {
                    (None, None) => {}
                    (Some(Value::Null), Some(Value::Null)) => {
                        fields.insert(name.to_owned(), Value::Null);
                    }
                    (Some(seconds), Some(text)) => {
                        let at = humantime::parse_rfc3339(text.as_str().unwrap()).unwrap();
                        let since_epoch = at.duration_since(std::time::UNIX_EPOCH).unwrap();
                        assert_eq!(seconds.as_u64(), Some(since_epoch.as_secs()));
                    }
                    other => panic!("{name}: {other:?}"),
                }
            }
            fields.values_mut().for_each(without_times);
        }
        _ => {}
    }
}

#[test]
fn as_json() {
    let directory = Directory::new();
    let json = |words: &str| {
        let mut value = directory.json(words);
        without_times(&mut value);
        value
    };
    directory.ok("init pool 10.0.0.0/24 --shortest 26 --longest 26");
    let grant = |prefix: &str, owner: &str| json!({"prefix": prefix, "owner": owner});
    assert_eq!(
        json("allocate pool --owner a --count 2"),
        json!([grant("10.0.0.0/26", "a"), grant("10.0.0.64/26", "a")])
    );
    directory.ok("release pool 10.0.0.64/26");
    let part = json!({
        "prefix": "10.0.0.0/24", "node": null, "total": 256, "allocated": 64, "free": 192, "reserved": 0, "cooling": 0,
        "grants": 1, "largest_free": 25, "fragmentation": 1.0 - 128.0 / 192.0,
    });
    assert_eq!(
        json("list pool"),
        json!({
            "kind": "subnets",
            "options": {
                "prefixes": ["10.0.0.0/24"], "shortest": 26, "longest": 26, "window": null, "reserved": [],
                "choice": "lowest",
            },
            "usage": [part],
            "grants": [grant("10.0.0.0/26", "a")],
        }),
    );
    assert_eq!(json("list pool --owner b")["grants"], json!([]));
    assert_eq!(
        json("history pool 10.0.0.0/24"),
        json!([{"prefix": "10.0.0.64/26", "owner": "a"}, {"prefix": "10.0.0.0/26", "owner": "a", "to": null}]),
    );
    assert_eq!(json("history pool 10.0.0.128/25"), json!([]));
    let mut checked = json("check pool");
    assert!(checked["bytes"].take().as_u64() > Some(100));
    assert_eq!(
        checked,
        json!({
            "sound": true, "bytes": null, "records": 3, "changes": 3, "grants": 1, "torn_bytes": 0, "findings": [],
        }),
    );
    assert_eq!(
        json("plan pool --reserve 10.0.0.128/26 --add-prefix 10.0.1.0/24 --apply"),
        json!({
            "changes": [
                {"change": "reserve", "value": "10.0.0.128-10.0.0.191", "orphans": []},
                {"change": "add_prefix", "value": "10.0.1.0/24", "orphans": []},
            ],
            "applied": true,
        }),
    );
    let (status, mut plan) = directory.json_with_status("plan pool --remove-prefix 10.0.0.0/24");
    without_times(&mut plan);
    assert_eq!(status, 1);
    assert_eq!(
        plan,
        json!({
            "changes": [{"change": "remove_prefix", "value": "10.0.0.0/24", "orphans": [grant("10.0.0.0/26", "a")]}],
            "applied": false,
        }),
    );
}

/// Numbers that only the whole of IPv6 has.
#[test]
fn the_largest_pool() {
    let directory = Directory::new();
    directory.ok("init pool ::/0");
    assert_eq!(directory.ok("allocate pool --owner a --length 1"), "::/1\n");
    let text = directory.ok("list pool --json");
    assert!(text.contains(
        r#""total":"340282366920938463463374607431768211456","allocated":170141183460469231731687303715884105728,"#
    ));
    assert_eq!(directory.ok("claim pool 8000::/1 --owner a"), "");
    assert_eq!(
        directory.refused("allocate pool --owner a --length 128"),
        (1, "no /128 is free: nothing is free at all".into())
    );
    directory.ok("check pool");
    assert_eq!(directory.ok("release pool --all --owner a"), "::/1\n8000::/1\n");
    assert_eq!(directory.ok("allocate pool --owner a --length 0"), "::/0\n");
    directory.ok("check pool");
}

/// The session in the README says what the program says.
#[test]
fn the_session_of_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let session = readme.split("<!-- pool session: begin").nth(1).unwrap().split("```").nth(1).unwrap();
    let directory = Directory::new();
    let mut said = "console\n".to_owned();
    let program = Path::new(env!("CARGO_BIN_EXE_tap-vtep")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    for line in session.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let output =
            Command::new("sh").args(["-c", line]).current_dir(&directory.0).env("PATH", &path).output().unwrap();
        said.extend(["$ ", line, "\n"]);
        said.extend([output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()));
    }
    assert_eq!(timeless(session), timeless(&said));
}
