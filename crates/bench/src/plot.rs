//! The plots of the page, as SVG.

use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::*;

use crate::ratios::{Goal, KEYS, median};
use crate::report::grouped;
use crate::results::Results;
use crate::rows::Row;

const WIDTH: u32 = 960;
const LINE: u32 = 26;

/// Draws all plots for which there are figures. File names and titles.
///
/// # Errors
/// That a file cannot be written.
pub(crate) fn draw(results: &Results, folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut drawn = Vec::new();
    let plots = [
        (
            "goals.svg",
            "Ratios against their goals: right of the line is better",
            goals(results),
        ),
        (
            "throughput.svg",
            "Operations a second, median and range",
            throughput(results),
        ),
    ];
    for (file, title, bars) in plots {
        if bars.is_empty() {
            continue;
        }
        bar_chart(&folder.join(file), title, &bars)
            .map_err(|error| anyhow!("cannot draw {file}: {error}"))?;
        drawn.push((file.to_owned(), title.to_owned()));
    }
    Ok(drawn)
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
struct Bar {
    label: String,
    value: f64,
    least: f64,
    greatest: f64,
    colour: RGBColor,
}

const GOOD: RGBColor = RGBColor(46, 125, 80);
const BAD: RGBColor = RGBColor(190, 80, 50);
const PLAIN: RGBColor = RGBColor(70, 105, 150);

/// How many times the goal each ratio is; above 1 is better for all of them.
fn goals(results: &Results) -> Vec<Bar> {
    let bars = KEYS.iter().filter_map(|key| {
        let spread = results.spreads.get(key.name)?;
        let times = |value: f64| match key.goal {
            Goal::AtLeast(bound) => value / bound,
            Goal::AtMost(bound) => bound / value,
        };
        let (one, other) = (times(spread.least), times(spread.greatest));
        let met = key.goal.is_met(spread.median);
        Some(Bar {
            label: key.name.to_owned(),
            value: times(spread.median),
            least: one.min(other),
            greatest: one.max(other),
            colour: if met { GOOD } else { BAD },
        })
    });
    bars.collect()
}

fn throughput(results: &Results) -> Vec<Bar> {
    let open = [Row::LeaderKill, Row::LearnerWrites, Row::SteadyWrites];
    grouped(&results.runs)
        .into_iter()
        .filter(|(row, _, _)| !open.contains(row))
        .filter_map(|(row, system, runs)| {
            let rates: Vec<f64> = runs.iter().map(|run| run.figures.per_second).collect();
            Some(Bar {
                label: format!("{}: {}", row.title(), system.title()),
                value: median(&rates)?,
                least: rates.iter().copied().fold(f64::INFINITY, f64::min),
                greatest: rates.iter().copied().fold(0.0, f64::max),
                colour: PLAIN,
            })
        })
        .collect()
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Bars from left to right, one below the other, on a logarithmic scale: ratios and rates span two orders of magnitude.
fn bar_chart(path: &Path, title: &str, bars: &[Bar]) -> Drawn {
    let count = u32::try_from(bars.len()).unwrap_or(1);
    let root = SVGBackend::new(path, (WIDTH, 90 + LINE * count)).into_drawing_area();
    root.fill(&WHITE)?;
    let least = bars
        .iter()
        .map(|bar| bar.least)
        .fold(f64::INFINITY, f64::min);
    let greatest = bars.iter().map(|bar| bar.greatest).fold(0.0, f64::max);
    let (from, to) = (least.clamp(1e-6, 1.0) / 1.5, greatest.max(1.0) * 1.5);
    let rows = f64::from(count);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(400)
        .build_cartesian_2d((from..to).log_scale(), 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(8)
        .x_label_formatter(&|value| {
            if *value >= 10.0 {
                format!("{value:.0}")
            } else {
                format!("{value:.2}")
            }
        })
        .draw()?;
    // The bound of a goal; for rates it lies left of everything.
    chart.draw_series(LineSeries::new([(1.0, 0.0), (1.0, rows)], BLACK.mix(0.4)))?;
    for (place, bar) in bars.iter().enumerate() {
        let top = rows - f64::from(u32::try_from(place).unwrap_or(0));
        let middle = top - 0.5;
        chart.draw_series([Rectangle::new(
            [(from, top - 0.2), (bar.value.max(from), top - 0.8)],
            bar.colour.filled(),
        )])?;
        let range = [
            (bar.least.max(from), middle),
            (bar.greatest.max(from), middle),
        ];
        chart.draw_series(LineSeries::new(range, BLACK))?;
        let (_, y) = chart.backend_coord(&(from, middle));
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        root.draw(&Text::new(bar.label.clone(), (14, y - 7), style))?;
    }
    root.present()
}
