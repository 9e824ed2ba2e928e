//! The ratios as a picture: a row for each workload, a mark for each contender, on a logarithmic
//! scale with tokio at one.
//!
//! plotters draws it: of the crates that write SVG it is the one that is widely used and kept, and
//! with only that part of it no font, image or system library comes along.

use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contest::{Figure, Outcome, Series};

/// A workload: its name, and for each contender that has one its ratio.
struct Row {
    name: String,
    ratios: Vec<(&'static str, f64)>,
}

/// How a contender is shown: by a colour, and by a shape for whoever does not tell colours apart.
struct Mark {
    contender: &'static str,
    colour: RGBColor,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    Disc,
    Ring,
    Triangle,
    Cross,
}

/// Drawn in this order: ours last, on top of the others.
const MARKS: [Mark; 8] = [
    Mark::new("tracing-otel", RGBColor(0, 70, 160), Shape::Triangle),
    Mark::new("otel-api", RGBColor(0, 70, 160), Shape::Cross),
    Mark::new("dial9", RGBColor(120, 50, 150), Shape::Cross),
    Mark::new("tokio-metrics", RGBColor(90, 90, 90), Shape::Triangle),
    Mark::new("smol", RGBColor(0, 115, 75), Shape::Ring),
    Mark::new("inert", RGBColor(200, 30, 30), Shape::Ring),
    Mark::new("metrics", RGBColor(225, 125, 0), Shape::Disc),
    Mark::new("full", RGBColor(200, 30, 30), Shape::Disc),
];

impl Mark {
    const fn new(contender: &'static str, colour: RGBColor, shape: Shape) -> Mark {
        Mark {
            contender,
            colour,
            shape,
        }
    }

    /// Draws the mark, in pixels of the whole picture.
    fn draw<'a>(&self, area: &Area<'a>, place: (i32, i32)) -> Drawn<'a> {
        const SIZE: i32 = 5;
        let filled = self.colour.filled();
        let line = self.colour.stroke_width(2);
        match self.shape {
            Shape::Disc => area.draw(&Circle::new(place, SIZE, filled)),
            Shape::Ring => area.draw(&Circle::new(place, SIZE, line)),
            Shape::Triangle => area.draw(&TriangleMarker::new(place, SIZE + 1, filled)),
            Shape::Cross => area.draw(&Cross::new(place, SIZE - 1, line)),
        }
    }
}

const WIDTH: u32 = 900;
/// Height of a row, of the legend above the rows, and of the scale below them.
const ROW: u32 = 20;
const LEGEND: u32 = 56;
const SCALE: u32 = 48;
const NAMES: u32 = 220;
const FONT: &str = "sans-serif";
const GRID: RGBColor = RGBColor(225, 225, 225);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Draws those outcomes that have the fewest workers.
///
/// # Errors
///
/// When the file cannot be written.
pub fn draw(outcomes: &[Outcome], file: &Path) -> Result<(), String> {
    let workers = outcomes.iter().map(|outcome| outcome.event.workers).min();
    let shown = outcomes.iter();
    let shown = shown.filter(|outcome| Some(outcome.event.workers) == workers);
    let rows: Vec<Row> = shown.flat_map(rows).collect();
    if rows.is_empty() {
        return Err("there is nothing to draw".to_owned());
    }
    let height = LEGEND + ROW * rows.len() as u32 + SCALE;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    let drawn = draw_all(&area, &rows, workers.unwrap_or(1));
    drawn.map_err(|error| format!("{}: {error}", file.display()))
}

fn rows(outcome: &Outcome) -> Vec<Row> {
    let baseline = &outcome.series[0];
    let figures = outcome.event.figures().into_iter();
    let row = |(figure, name, _): (Figure, String, &str)| {
        let ratio = |series: &Series| {
            let ratio = series.ratio(baseline, figure)?;
            Some((series.contender, ratio.median))
        };
        let ratios = outcome.series[1..].iter().filter_map(ratio).collect();
        Row { name, ratios }
    };
    figures.map(row).collect()
}

fn draw_all<'a>(area: &Area<'a>, rows: &[Row], workers: usize) -> Drawn<'a> {
    area.fill(&WHITE)?;
    draw_legend(area, rows, workers)?;
    draw_chart(area, rows)?;
    area.present()
}

fn ratios_of<'r>(rows: &'r [Row], contender: &str) -> impl Iterator<Item = (usize, f64)> + 'r {
    let contender = contender.to_owned();
    rows.iter().enumerate().flat_map(move |(index, row)| {
        let of_contender = row.ratios.iter().filter(|(name, _)| *name == contender);
        let ratios: Vec<f64> = of_contender.map(|(_, ratio)| *ratio).collect();
        ratios.into_iter().map(move |ratio| (index, ratio))
    })
}

/// Says what the picture shows, and which mark is whose, in two lines.
fn draw_legend<'a>(area: &Area<'a>, rows: &[Row], workers: usize) -> Drawn<'a> {
    let workers = match workers {
        1 => "1 worker".to_owned(),
        more => format!("{more} workers"),
    };
    let title = format!(
        "Cost relative to plain tokio, {workers}: processor time, or what the row names (left is less)"
    );
    area.draw(&Text::new(title, (12, 10), (FONT, 15).into_font()))?;
    let shown = MARKS.iter().rev();
    let shown = shown.filter(|mark| ratios_of(rows, mark.contender).next().is_some());
    let mut left = 18;
    for mark in shown {
        mark.draw(area, (left, 42))?;
        let label = (FONT, 13).into_font().color(&BLACK);
        let label = label.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(mark.contender, (left + 11, 42), label))?;
        left += 34 + 8 * mark.contender.len() as i32;
    }
    Ok(())
}

fn draw_chart<'a>(area: &Area<'a>, rows: &[Row]) -> Drawn<'a> {
    let last = rows.len() - 1;
    let ratios = || {
        rows.iter()
            .flat_map(|row| &row.ratios)
            .map(|(_, ratio)| *ratio)
    };
    let least = ratios().fold(0.5, f64::min) * 0.9;
    let most = ratios().fold(2.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .margin_top(LEGEND)
        .margin_right(20)
        .x_label_area_size(SCALE)
        .y_label_area_size(NAMES)
        // From top to bottom.
        .build_cartesian_2d(
            (least..most).log_scale().base(2.0),
            (0..last).into_segmented(),
        )?;
    let name = |row: &SegmentValue<usize>| match row {
        SegmentValue::CenterOf(index) => rows[last - index].name.clone(),
        SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
    };
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .x_labels(12)
        .y_labels(rows.len())
        .x_label_formatter(&|ratio| format!("{ratio} ×"))
        .y_label_formatter(&name)
        .label_style((FONT, 13))
        .x_desc("ratio to tokio, logarithmic")
        .draw()?;
    let tokio = [SegmentValue::Exact(0), SegmentValue::Last];
    let dearer = [(1.0, tokio[0].clone()), (most, tokio[1].clone())];
    chart.draw_series([Rectangle::new(dearer, BLACK.mix(0.04).filled())])?;
    let line = PathElement::new(tokio.map(|end| (1.0, end)), BLACK.stroke_width(2));
    chart.draw_series([line])?;
    for mark in &MARKS {
        for (row, ratio) in ratios_of(rows, mark.contender) {
            let place = (ratio, SegmentValue::CenterOf(last - row));
            mark.draw(area, chart.backend_coord(&place))?;
        }
    }
    Ok(())
}
