//! Charts of the requests per day. They are drawn on the server, and need no script.

use crate::domain::timestamp::{DAY, Timestamp};
use crate::domain::usage::{DailyUsage, DayUsage};
use crate::text::time::date;
use crate::text::usage as text;
use leptos::prelude::*;
use std::fmt::Write;

/// Width of a day in a chart, in units of its view box.
const DAY_WIDTH: u32 = 3;
/// Height of the bars, in units of the view box.
const BAR_HEIGHT: u64 = 16;

/// A small chart of the allowed requests per day.
#[component]
pub(super) fn Sparkline(usage: DailyUsage) -> impl IntoView {
    let most = usage.days.iter().map(|day| day.allowed).max().unwrap_or_default();
    view! {
        <svg class="chart" viewBox="0 0 90 18" role="img" aria-label=text::chart(&usage)>
            <path d="M0 17.5H90" class="axis" />
            <path d=bars(&usage, |day| day.allowed, most, 17, '-') />
        </svg>
    }
}

/// A chart of the requests per day: allowed requests are solid bars above the axis, denied ones dashed bars below it.
#[component]
pub(super) fn UsageChart(usage: DailyUsage) -> impl IntoView {
    // Each direction has its own scale: anyone who knows the Key ID can cause denied requests.
    let most = |count: fn(&DayUsage) -> u64| usage.days.iter().map(count).max().unwrap_or_default();
    let (most_allowed, most_denied) = (most(|day| day.allowed), most(|day| day.denied));
    let total = usage.total();
    let first =
        Timestamp((usage.today + 1) * DAY - DAY * i64::try_from(usage.days.len()).unwrap_or_default());
    view! {
        <figure class="usage-chart">
            <svg class="chart" viewBox="0 0 90 36" preserveAspectRatio="none" role="img" aria-label=text::chart(&usage)>
                <path d="M0 17.5H90" class="axis" />
                <path d=bars(&usage, |day| day.allowed, most_allowed, 17, '-') />
                <path class="denied" d=bars(&usage, |day| day.denied, most_denied, 18, ' ') />
            </svg>
            <figcaption>
                <span>{date(first)}</span>
                <span>"▲ " {text::number(total.allowed)} " " {text::ALLOWED}</span>
                <span>"▼ " {text::number(total.denied)} " " {text::DENIED}</span>
                <span>{text::TODAY}</span>
            </figcaption>
        </figure>
    }
}

/// The path of the bars: one line per day with requests, from `axis` in the direction `sign`.
fn bars(usage: &DailyUsage, count: impl Fn(&DayUsage) -> u64, most: u64, axis: u32, sign: char) -> String {
    let mut path = String::new();
    for (day, at) in usage.days.iter().zip(0..) {
        let count = count(day);
        if count > 0 {
            // Every day with a request is visible.
            let height = (count.saturating_mul(BAR_HEIGHT) / most.max(1)).max(1);
            let x = at * DAY_WIDTH + 1;
            // Writing to a string cannot fail.
            let _ = write!(path, "M{x}.5 {axis}v{sign}{height}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_scaled_to_the_busiest_day_and_every_request_is_visible() {
        let mut usage = DailyUsage::none(100);
        usage.add(100, DayUsage { allowed: 1_000, denied: 0 });
        usage.add(99, DayUsage { allowed: 500, denied: 0 });
        usage.add(71, DayUsage { allowed: 1, denied: 0 });
        assert_eq!(bars(&usage, |day| day.allowed, 1_000, 17, '-'), "M1.5 17v-1M85.5 17v-8M88.5 17v-16");
        assert_eq!(bars(&usage, |day| day.denied, 1_000, 18, ' '), "");
    }
}
