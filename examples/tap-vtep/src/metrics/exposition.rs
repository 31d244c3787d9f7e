//! The two text formats of metrics: Prometheus' own, and `OpenMetrics` for those that ask for it.

use std::{fmt::Write as _, sync::Arc};

use prometheus_client::{encoding::text::encode, registry::Registry};

use super::Measured;
use crate::state::State;

/// A format that metrics are exposed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exposition {
    /// Prometheus' text format, version 0.0.4.
    Text,
    /// `OpenMetrics`, version 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The format that an `Accept` header asks for.
    pub(super) fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// All metrics, as they are now.
    pub(super) fn of(self, state: &Arc<State>) -> String {
        let mut registry = Registry::with_prefix("tap_vtep");
        registry.register_collector(Box::new(Measured(Arc::clone(state))));
        let mut open = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut open, &registry);
        match self {
            Self::OpenMetrics => open,
            Self::Text => text(&open),
        }
    }
}

/// The same in the older format: there a family has the name of its samples, has no unit line, and is no `info`.
fn text(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = "";
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Exposition::accepted(prometheus), Exposition::OpenMetrics);
        assert_eq!(Exposition::accepted("*/*"), Exposition::Text);
        assert_eq!(Exposition::accepted(""), Exposition::Text);
    }

    #[test]
    fn families_have_the_names_of_their_samples_in_the_older_format() {
        let open = "# HELP x_bytes What went by.\n# TYPE x_bytes counter\n# UNIT x_bytes bytes\nx_bytes_total{a=\"# b\"} 5\n\
                    # HELP y Rows.\n# TYPE y gauge\ny 1\n# HELP z Us.\n# TYPE z info\nz_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(
            text(open),
            "# HELP x_bytes_total What went by.\n# TYPE x_bytes_total counter\nx_bytes_total{a=\"# b\"} 5\n\
             # HELP y Rows.\n# TYPE y gauge\ny 1\n# HELP z_info Us.\n# TYPE z_info gauge\nz_info{v=\"1\"} 1\n",
        );
    }
}
