//! The curve of a run: loss and recall over the epochs, as a picture for a browser.

use std::fmt::Write as _;

use super::run::Row;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const MARGIN: f64 = 48.0;

/// A line of the picture: its name, its colour, and its value at an epoch.
type Line = (&'static str, &'static str, fn(&Row) -> Option<f64>);

/// Recalls in percent, on the left axis from 0 to the next ten; the loss is scaled to its own largest value.
const LINES: [Line; 3] = [
    ("text → image R@10, %", "#1f6fb4", |row| Some(row.val.text_to_image.r10)),
    ("image → text R@10, %", "#d0641c", |row| Some(row.val.image_to_text.r10)),
    ("loss", "#8a8a8a", |row| row.loss),
];

/// The picture of a log, a whole SVG file.
pub(super) fn svg(rows: &[Row]) -> String {
    let last = rows.iter().map(|row| row.epoch).max().unwrap_or(0).max(1) as f64;
    let largest = |value: fn(&Row) -> Option<f64>| {
        rows.iter().filter_map(value).filter(|v| v.is_finite()).fold(0.0, f64::max)
    };
    let recall = largest(LINES[0].2).max(largest(LINES[1].2));
    let top = ((recall / 10.0).ceil() * 10.0).max(10.0);
    let x = |epoch: f64| MARGIN + (WIDTH - 2.0 * MARGIN) * epoch / last;
    let y = |share: f64| HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * share;

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for tick in 0..=5 {
        let share = f64::from(tick) / 5.0;
        let (at, value) = (y(share), top * share);
        let (left, right) = (MARGIN, WIDTH - MARGIN);
        line(
            &mut out,
            &format!(
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>",
                left - 6.0,
                at + 4.0
            ),
        );
    }
    for (epoch, anchor) in [(0.0, "start"), (last, "end")] {
        let (at, below) = (x(epoch), HEIGHT - MARGIN + 18.0);
        line(
            &mut out,
            &format!(
                "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"{anchor}\">epoch {epoch:.0}</text>"
            ),
        );
    }
    for (i, (name, colour, value)) in LINES.into_iter().enumerate() {
        let scale = if name == "loss" { largest(value) } else { top };
        let points: Vec<String> = rows
            .iter()
            .filter_map(|row| value(row).map(|v| (row.epoch as f64, v)))
            .filter(|(_, v)| v.is_finite() && scale > 0.0)
            .map(|(epoch, v)| format!("{:.1},{:.1}", x(epoch), y(v / scale)))
            .collect();
        let label = match name {
            "loss" => format!("loss, 0 to {scale:.3}"),
            _ => name.to_string(),
        };
        let at = MARGIN + 190.0 * i as f64;
        line(
            &mut out,
            &format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{at:.1}\" y=\"24\" fill=\"{colour}\">{label}</text>",
                points.join(" ")
            ),
        );
    }
    line(&mut out, "</svg>");
    out
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string can always grow");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(json: &str) -> Vec<Row> {
        serde_json::Deserializer::from_str(json).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn points_lie_where_the_figures_say() {
        let recall = |r10: f64| {
            format!(
                r#"{{"r1":1.0,"r5":2.0,"r10":{r10},"median_rank":1.0,"mean_rank":1.0,"queries":5}}"#
            )
        };
        let row = |epoch: u64, loss: &str, r10: f64| {
            let (a, b) = (recall(r10), recall(0.0));
            format!(
                r#"{{"epoch":{epoch}{loss},"val":{{"text_to_image":{a},"image_to_text":{b}}}}}"#
            )
        };
        let log = [row(0, "", 0.0), row(1, r#","loss":4.0"#, 15.0), row(2, r#","loss":1.0"#, 20.0)];
        let svg = svg(&rows(&log.join("\n")));
        // Inside the margins the picture is 544 wide and 264 high; the axis ends at 20 %.
        assert!(svg.contains("points=\"48.0,312.0 320.0,114.0 592.0,48.0\""), "{svg}");
        assert!(
            svg.contains("points=\"320.0,48.0 592.0,246.0\""),
            "the loss has no epoch 0: {svg}"
        );
        assert!(svg.contains("epoch 2") && svg.ends_with("</svg>\n"));
        assert!(!self::svg(&[]).contains("NaN"));
    }
}
