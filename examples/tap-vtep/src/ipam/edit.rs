//! Changes of a pool, as they are given on the command line.

use std::{fmt, net::IpAddr, str::FromStr};

use clap::{ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};
use ipam::AddressRange;
use ipnet::IpNet;

/// A change of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edit {
    AddPrefix(IpNet),
    RemovePrefix(IpNet),
    Reserve(AddressRange),
    Unreserve(AddressRange),
    Exclude(AddressRange),
    Include(AddressRange),
    AddRange(AddressRange),
    RemoveRange(AddressRange),
    SetSubnet(IpNet),
    Gateway(Gateway),
}

impl Edit {
    /// The option that it is given by.
    pub(crate) const fn option(self) -> &'static str {
        match self {
            Self::AddPrefix(_) => "--add-prefix",
            Self::RemovePrefix(_) => "--remove-prefix",
            Self::Reserve(_) => "--reserve",
            Self::Unreserve(_) => "--unreserve",
            Self::Exclude(_) => "--exclude",
            Self::Include(_) => "--include",
            Self::AddRange(_) => "--add-range",
            Self::RemoveRange(_) => "--remove-range",
            Self::SetSubnet(_) => "--set-subnet",
            Self::Gateway(_) => "--gateway",
        }
    }

    /// Its name where names have underscores.
    pub(crate) fn name(self) -> String {
        self.option().trim_start_matches('-').replace('-', "_")
    }

    /// The value that it is given with.
    pub(crate) fn value(self) -> String {
        match self {
            Self::AddPrefix(prefix) | Self::RemovePrefix(prefix) | Self::SetSubnet(prefix) => prefix.to_string(),
            Self::Reserve(range)
            | Self::Unreserve(range)
            | Self::Exclude(range)
            | Self::Include(range)
            | Self::AddRange(range)
            | Self::RemoveRange(range) => range.to_string(),
            Self::Gateway(gateway) => gateway.to_string(),
        }
    }
}

/// A gateway's address, or "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gateway(pub(crate) Option<IpAddr>);

impl FromStr for Gateway {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// Changes in the order in which they were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Changes(pub(crate) Vec<Edit>);

/// Reads the value of an option.
type Parse = fn(&str) -> Result<Edit, Box<dyn std::error::Error + Send + Sync>>;

/// The options: name, what their value is, help, and the change that they are.
const OPTIONS: [(&str, &str, &str, Parse); 10] = [
    ("add-prefix", "PREFIX", "Subnets, blocks: give out of this prefix, too", |text| {
        Ok(Edit::AddPrefix(text.parse()?))
    }),
    ("remove-prefix", "PREFIX", "Subnets: give out of this prefix no more", |text| {
        Ok(Edit::RemovePrefix(text.parse()?))
    }),
    ("reserve", "RANGE", "Subnets, addresses: set a range aside, given only to who asks by name", |text| {
        Ok(Edit::Reserve(text.parse()?))
    }),
    ("unreserve", "RANGE", "Subnets, addresses: give what was set aside to all again", |text| {
        Ok(Edit::Unreserve(text.parse()?))
    }),
    ("exclude", "RANGE", "Addresses: have these be no part of the pool", |text| Ok(Edit::Exclude(text.parse()?))),
    ("include", "RANGE", "Addresses: exclude these no more", |text| Ok(Edit::Include(text.parse()?))),
    ("add-range", "RANGE", "Addresses: give out of this range, too", |text| Ok(Edit::AddRange(text.parse()?))),
    ("remove-range", "RANGE", "Addresses: give out of this range no more", |text| Ok(Edit::RemoveRange(text.parse()?))),
    ("set-subnet", "PREFIX", "Addresses: grow or shrink to this subnet", |text| Ok(Edit::SetSubnet(text.parse()?))),
    ("gateway", "IP|none", "Addresses: have another gateway, or none", |text| Ok(Edit::Gateway(text.parse()?))),
];

impl Args for Changes {
    fn augment_args(command: Command) -> Command {
        let options = OPTIONS.map(|(name, value, help, parse)| {
            let option = clap::Arg::new(name).long(name).value_name(value).help(help).help_heading("Changes");
            option.action(ArgAction::Append).value_parser(parse)
        });
        command.args(options)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Changes {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut edits = Vec::new();
        for (name, ..) in OPTIONS {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Edit>(name).into_iter().flatten().copied();
            edits.extend(places.zip(values));
        }
        if edits.is_empty() {
            return Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                "no change is given, such as --add-prefix\n",
            ));
        }
        edits.sort_unstable_by_key(|&(place, _)| place);
        Ok(Self(edits.into_iter().map(|(_, edit)| edit).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Words {
        #[command(flatten)]
        changes: Changes,
    }

    fn changes(words: &[&str]) -> Vec<String> {
        let words = Words::try_parse_from([&["plan"], words].concat()).unwrap();
        words.changes.0.into_iter().map(|edit| format!("{} {}", edit.name(), edit.value())).collect()
    }

    #[test]
    fn changes_stay_in_order() {
        let words =
            ["--reserve", "10.0.0.1", "--add-prefix=10.1.0.0/16", "--gateway", "none", "--reserve", "10.0.0.0/31"];
        assert_eq!(
            changes(&words),
            ["reserve 10.0.0.1", "add_prefix 10.1.0.0/16", "gateway none", "reserve 10.0.0.0-10.0.0.1"]
        );
    }

    #[test]
    fn each_option_is_its_own_change() {
        for (option, value, ..) in OPTIONS {
            let text = match value {
                "PREFIX" => "10.0.0.0/8",
                "RANGE" => "10.0.0.1-10.0.0.9",
                _ => "10.0.0.1",
            };
            let words = Words::try_parse_from(["plan", &format!("--{option}"), text]).unwrap();
            let [edit] = words.changes.0[..] else { panic!("one change") };
            assert_eq!((edit.option().trim_start_matches("--"), edit.value().as_str()), (option, text));
        }
    }
}
