//! What is to be seen: a figure of ours, beside a peer's, and what it has to come to.

use std::fmt;

use super::{
    case::{self, Case},
    measure::Measure,
    setting::Setting,
};

/// Which figure of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    Value,
    Cost,
}

/// What a figure has to come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    /// So many times the peer's.
    AtLeast(f64),
    /// So much in the figure's unit.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) setting: Setting,
    pub(super) measure: Measure,
    pub(super) figure: Figure,
    pub(super) case: &'static Case,
    pub(super) peer: Option<&'static Case>,
    pub(super) bound: Option<Bound>,
}

impl Row {
    const fn new(setting: Setting, measure: Measure, case: &'static Case) -> Self {
        Self { setting, measure, figure: Figure::Value, case, peer: None, bound: None }
    }

    const fn beside(self, peer: &'static Case) -> Self {
        Self { peer: Some(peer), ..self }
    }

    const fn at_least(self, times: f64) -> Self {
        Self { bound: Some(Bound::AtLeast(times)), ..self }
    }

    const fn at_most(self, figure: f64) -> Self {
        Self { bound: Some(Bound::AtMost(figure)), ..self }
    }

    const fn cost(self) -> Self {
        Self { figure: Figure::Cost, ..self }
    }

    /// What it is about, for people.
    pub(super) fn title(&self) -> String {
        let what = match self.figure {
            Figure::Value => self.measure.title(),
            Figure::Cost => format!("{}, processors", self.measure.title()),
        };
        format!("{}: {what}", self.setting.title())
    }

    pub(super) const fn unit(&self) -> &'static str {
        match self.figure {
            Figure::Value => self.measure.unit(),
            Figure::Cost => self.measure.cost_unit(),
        }
    }

    /// The cases that it compares.
    pub(super) fn cases(&self) -> impl Iterator<Item = &'static Case> {
        [self.case].into_iter().chain(self.peer)
    }

    /// `true` when its name has all words of the filter, which stand between slashes.
    fn is_chosen(&self, filter: &str) -> bool {
        let name = self.to_string();
        filter.split('/').all(|wanted| name.split('/').any(|word| word == wanted))
    }
}

impl fmt::Display for Row {
    /// `setting/measure/case/peer`: the name by which it is chosen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cost = if self.figure == Figure::Cost { "-cpu" } else { "" };
        write!(f, "{}/{}{cost}/{}", self.setting, self.measure, self.case.name)?;
        match self.peer {
            Some(peer) => write!(f, "/{}", peer.name),
            None => Ok(()),
        }
    }
}

/// All rows, in the order of the table.
#[rustfmt::skip]
pub(super) fn all() -> Vec<Row> {
    use case::{
        BARE, BUSY_POLL, DESTINATIONS, FROM_KERNEL, FULL_TABLE, GENEVE, IPV6, KERNEL, KERNEL_DESTINATIONS, KERNEL_PLAIN, NAIVE,
        NVGRE, OVS, OVS_GENEVE, OVS_GRE, OVS_XDP, SOCKET, TAP_VTEP, TO_KERNEL, TUNNEL_GSO, TWO_WORKERS,
    };
    const TCP1: Measure = Measure::Tcp(1);
    const TCP4: Measure = Measure::Tcp(4);
    const UDP18: Measure = Measure::Udp(18);
    const UDP1400: Measure = Measure::Udp(1400);
    const PACED: Measure = Measure::Paced(18);
    const PING: Measure = Measure::Ping;
    let on_a_wire = |measure| Row::new(Setting::WIRE_GRO, measure, &TAP_VTEP);
    let on_a_plain_wire = |measure| Row::new(Setting::WIRE, measure, &TAP_VTEP);
    let on_veth = |measure| Row::new(Setting::VETH, measure, &TAP_VTEP);
    let of = |case, measure| Row::new(Setting::VETH, measure, case);
    vec![
        on_a_wire(TCP1).beside(&KERNEL).at_least(1.0),
        on_a_wire(TCP4).beside(&KERNEL).at_least(1.0),
        on_a_wire(UDP18).beside(&KERNEL).at_least(2.5),
        on_a_wire(UDP1400).beside(&KERNEL),
        on_a_wire(TCP1).beside(&KERNEL).cost(),
        on_a_plain_wire(TCP1).beside(&KERNEL).at_least(0.65),
        on_a_plain_wire(TCP4).beside(&KERNEL).at_least(0.65),
        Row::new(Setting::WIRE_GRO, TCP1, &TUNNEL_GSO).beside(&TAP_VTEP),
        on_veth(TCP1).beside(&KERNEL).at_least(0.65),
        on_veth(TCP4).beside(&KERNEL).at_least(0.65),
        of(&SOCKET, TCP1).beside(&KERNEL).at_least(0.55),
        of(&SOCKET, TCP4).beside(&KERNEL).at_least(0.55),
        on_veth(TCP1).beside(&KERNEL_PLAIN).at_least(4.0),
        on_veth(TCP4).beside(&KERNEL_PLAIN).at_least(4.0),
        on_veth(TCP1).beside(&OVS).at_least(8.0),
        on_veth(TCP4).beside(&OVS).at_least(8.0),
        on_veth(TCP1).beside(&OVS_XDP).at_least(4.0),
        on_veth(TCP4).beside(&OVS_XDP).at_least(4.0),
        on_veth(TCP1).beside(&NAIVE),
        of(&IPV6, TCP1).beside(&SOCKET).at_least(0.95),
        of(&IPV6, TCP4).beside(&SOCKET).at_least(0.95),
        Row::new(Setting::WIRE_GRO, TCP1, &GENEVE).beside(&TAP_VTEP).at_least(0.95),
        of(&GENEVE, TCP1).beside(&TAP_VTEP).at_least(0.95),
        of(&GENEVE, UDP18).beside(&TAP_VTEP).at_least(0.95),
        of(&GENEVE, TCP1).beside(&OVS_GENEVE),
        Row::new(Setting::WIRE_GRO, TCP1, &NVGRE).beside(&OVS_GRE).at_least(4.0),
        Row::new(Setting::WIRE, TCP1, &NVGRE).beside(&OVS_GRE).at_least(4.0),
        of(&NVGRE, TCP1).beside(&OVS_GRE).at_least(4.0),
        of(&NVGRE, TCP4).beside(&OVS_GRE).at_least(4.0),
        of(&NVGRE, UDP18).beside(&OVS_GRE),
        of(&TO_KERNEL, TCP1).beside(&TAP_VTEP).at_least(0.9),
        of(&FROM_KERNEL, TCP1).beside(&TAP_VTEP).at_least(0.9),
        on_veth(UDP18).beside(&KERNEL).at_least(2.5),
        on_veth(UDP18).beside(&NAIVE),
        on_veth(UDP1400).beside(&KERNEL),
        of(&DESTINATIONS, Measure::Destinations).beside(&KERNEL_DESTINATIONS).at_least(1.0),
        on_veth(TCP1).beside(&KERNEL).cost().at_most(1.3),
        on_veth(PACED).beside(&KERNEL).cost(),
        on_veth(PING).beside(&KERNEL).at_most(30.0),
        of(&BUSY_POLL, PING).beside(&KERNEL).at_most(12.0),
        of(&FULL_TABLE, TCP1).beside(&TAP_VTEP).at_least(0.95),
        of(&FULL_TABLE, UDP18).beside(&TAP_VTEP).at_least(0.95),
        of(&TWO_WORKERS, TCP1).beside(&TAP_VTEP),
        of(&TWO_WORKERS, TCP4).beside(&TAP_VTEP),
        of(&TWO_WORKERS, UDP18).beside(&TAP_VTEP),
        Row::new(Setting::VETH_9000, TCP1, &TAP_VTEP).beside(&KERNEL).at_least(0.5),
        Row::new(Setting::WIRE_GRO_9000, TCP1, &TAP_VTEP).beside(&KERNEL),
        of(&BARE, TCP1),
        of(&BARE, TCP4),
        of(&BARE, UDP18),
        of(&BARE, PING),
    ]
}

/// Those that one of the filters chooses; all without a filter. The filter that chooses none, otherwise.
pub(super) fn chosen(filters: &[String]) -> Result<Vec<Row>, String> {
    let all = all();
    if let Some(none) = filters.iter().find(|filter| !all.iter().any(|row| row.is_chosen(filter))) {
        return Err(none.clone());
    }
    let is_wanted = |row: &Row| filters.is_empty() || filters.iter().any(|filter| row.is_chosen(filter));
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// What has to be measured under one setting: each case with its measures.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) setting: Setting,
    pub(super) case: &'static Case,
    pub(super) measures: Vec<Measure>,
}

/// The turns of one round, for these rows: one setting after the other, and within it one case after the other.
pub(super) fn turns(rows: &[Row]) -> Vec<Turn> {
    let mut settings: Vec<Setting> = Vec::new();
    for row in rows {
        if !settings.contains(&row.setting) {
            settings.push(row.setting);
        }
    }
    let mut turns = Vec::new();
    for setting in settings {
        for case in case::ALL {
            let mut measures = Vec::new();
            for row in rows {
                if row.setting == setting && row.cases().any(|it| it == case) && !measures.contains(&row.measure) {
                    measures.push(row.measure);
                }
            }
            if !measures.is_empty() {
                turns.push(Turn { setting, case, measures });
            }
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(filters: &[&str]) -> Result<Vec<String>, String> {
        let filters: Vec<_> = filters.iter().map(|&filter| filter.to_owned()).collect();
        chosen(&filters).map(|rows| rows.iter().map(Row::to_string).collect())
    }

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let all = names(&[]).unwrap();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_bound_beside_a_peer_has_one() {
        for row in all() {
            assert!(!matches!(row.bound, Some(Bound::AtLeast(_))) || row.peer.is_some(), "{row}");
            assert!(row.cases().all(|case| case::ALL.contains(&case)), "{row}");
            assert!(row.figure == Figure::Value || !row.unit().is_empty(), "{row}");
        }
    }

    #[test]
    fn a_filter_has_words_of_the_name() {
        assert_eq!(names(&["wire/tcp4"]), Ok(vec!["wire/tcp4/ours/kernel".to_owned()]));
        let udp = names(&["udp18", "wire/tcp4"]).unwrap();
        assert!(udp.iter().all(|name| name.contains("/udp18/") || name == "wire/tcp4/ours/kernel"));
        assert!(udp.len() > 3);
        assert_eq!(names(&["udp18", "udp19"]), Err("udp19".to_owned()));
    }

    #[test]
    fn a_case_is_set_up_once_for_all_its_measures() {
        let rows = chosen(&["veth/ours/kernel".to_owned()]).unwrap();
        let turns = turns(&rows);
        let cases: Vec<_> = turns.iter().map(|turn| (turn.case.name, turn.setting.to_string())).collect();
        assert!(cases.starts_with(&[("kernel", "veth".to_owned()), ("ours", "veth".to_owned())]));
        let measures = &turns[0].measures;
        assert_eq!(measures.iter().filter(|measure| **measure == Measure::Tcp(1)).count(), 1);
        assert!(measures.contains(&Measure::Ping) && measures.contains(&Measure::Udp(18)));
    }
}
