//! Draws the things, each in a frame of -1..=1 that stands on y = 1. The colour of a caption is the colour of the
//! largest part; what people expect in another colour (trunks, wheels, windows) has it.

use super::raster::{Color, Pen, Point, arc, mix, on_circle, oval, rect, shade};
use super::words::Subject;

const WHITE: Color = [250.0, 250.0, 248.0];
const DARK: Color = [44.0, 42.0, 46.0];
const GREY: Color = [168.0, 170.0, 176.0];
const WOOD: Color = [116.0, 74.0, 44.0];
const LEAF: Color = [58.0, 142.0, 58.0];
const GLASS: Color = [186.0, 218.0, 236.0];
const GOLD: Color = [246.0, 200.0, 60.0];

/// Draws one thing.
pub(super) fn draw(subject: Subject, pen: &mut Pen<'_>, color: Color) {
    match subject {
        Subject::Ball => ball(pen, color),
        Subject::House => house(pen, color),
        Subject::Tree => tree(pen, color),
        Subject::Car => car(pen, color),
        Subject::Boat => boat(pen, color),
        Subject::Star => pen.body(&star_points(), color),
        Subject::Fish => fish(pen, color),
        Subject::Flower => flower(pen, color),
        Subject::Umbrella => umbrella(pen, color),
        Subject::Kite => kite(pen, color),
        Subject::Mountain => mountain(pen, color),
        Subject::Heart => pen.body(&heart_points(), color),
        Subject::Cat => cat(pen, color),
        Subject::Bird => bird(pen, color),
        Subject::Balloon => balloon(pen, color),
        Subject::Mushroom => mushroom(pen, color),
        Subject::Butterfly => butterfly(pen, color),
        Subject::Cup => cup(pen, color),
        Subject::Tent => tent(pen, color),
        Subject::Rocket => rocket(pen, color),
        Subject::Sun => sun(pen, color),
        Subject::Moon => pen.body(&crescent_points(), color),
    }
}

fn is_light(color: Color) -> bool {
    color.iter().sum::<f32>() > 600.0
}

fn is_dark(color: Color) -> bool {
    color.iter().sum::<f32>() < 150.0
}

/// A mark that shows on any colour.
fn mark(color: Color) -> Color {
    if is_dark(color) { GREY } else { DARK }
}

/// A tone of the same colour for a second part.
fn tone(color: Color) -> Color {
    if is_dark(color) { [74.0, 74.0, 80.0] } else { shade(color, 0.74) }
}

fn ball(pen: &mut Pen<'_>, color: Color) {
    pen.body(&oval((0.0, 0.1), (0.88, 0.88)), color);
    let seam = |x: f32, from, to| arc((x, 0.1), (0.5, 0.88), from, to);
    pen.line(&seam(-0.62, -0.17, 0.17), 0.035, tone(color));
    pen.line(&seam(0.62, 0.33, 0.67), 0.035, tone(color));
    pen.fill(&oval((-0.3, -0.32), (0.2, 0.14)), mix(color, WHITE, 0.7));
}

fn house(pen: &mut Pen<'_>, color: Color) {
    pen.fill(&rect((0.36, -0.85), (0.56, -0.3)), [150.0, 84.0, 70.0]);
    pen.body(&rect((-0.74, -0.16), (0.74, 1.0)), color);
    pen.body(&[(-0.95, -0.14), (0.0, -0.92), (0.95, -0.14)], [104.0, 92.0, 98.0]);
    pen.body(&rect((-0.17, 0.4), (0.2, 1.0)), WOOD);
    pen.disc((0.13, 0.72), 0.035, GOLD);
    for x in [-0.48, 0.48] {
        pen.body(&rect((x - 0.16, 0.08), (x + 0.16, 0.4)), GLASS);
        pen.line(&[(x, 0.08), (x, 0.4)], 0.03, WHITE);
        pen.line(&[(x - 0.16, 0.24), (x + 0.16, 0.24)], 0.03, WHITE);
    }
}

fn tree(pen: &mut Pen<'_>, color: Color) {
    pen.body(&[(-0.12, 0.2), (0.12, 0.2), (0.17, 1.0), (-0.17, 1.0)], WOOD);
    let crown = [(-0.42, 0.1, 0.36), (0.42, 0.1, 0.36), (-0.3, -0.32, 0.4), (0.32, -0.32, 0.38)];
    for (x, y, radius) in crown {
        pen.body(&oval((x, y), (radius, radius)), color);
    }
    pen.body(&oval((0.0, -0.55), (0.4, 0.4)), color);
    pen.disc((0.0, -0.1), 0.45, color);
    for (x, y) in [(-0.35, -0.2), (0.25, -0.5), (0.38, 0.05), (-0.1, 0.1), (-0.12, -0.62)] {
        pen.line(&arc((x, y), (0.1, 0.06), 0.0, 0.5), 0.035, tone(color));
    }
}

fn car(pen: &mut Pen<'_>, color: Color) {
    pen.body(&[(-0.5, 0.2), (-0.3, -0.22), (0.26, -0.22), (0.54, 0.2)], color);
    let glass = if is_light(color) { [120.0, 160.0, 186.0] } else { GLASS };
    pen.fill(&[(-0.4, 0.18), (-0.25, -0.13), (-0.04, -0.13), (-0.04, 0.18)], glass);
    pen.fill(&[(0.04, 0.18), (0.04, -0.13), (0.22, -0.13), (0.42, 0.18)], glass);
    let hood = [(-0.97, 0.3), (-0.86, 0.18), (0.8, 0.2), (0.97, 0.36), (0.97, 0.72), (-0.97, 0.72)];
    pen.body(&hood, color);
    pen.line(&[(0.0, 0.26), (0.0, 0.66)], 0.025, tone(color));
    pen.line(&[(0.08, 0.36), (0.2, 0.36)], 0.035, tone(color));
    pen.disc((0.9, 0.44), 0.07, GOLD);
    pen.fill(&rect((-0.97, 0.38), (-0.89, 0.52)), [220.0, 60.0, 50.0]);
    for x in [-0.54, 0.54] {
        pen.disc((x, 0.74), 0.26, DARK);
        pen.disc((x, 0.74), 0.12, GREY);
    }
}

fn boat(pen: &mut Pen<'_>, color: Color) {
    pen.line(&[(0.0, -0.95), (0.0, 0.45)], 0.07, WOOD);
    let sail = if is_light(color) { [216.0, 220.0, 228.0] } else { WHITE };
    pen.body(&[(0.07, -0.88), (0.07, 0.3), (0.72, 0.3)], sail);
    pen.body(&[(-0.07, -0.7), (-0.07, 0.3), (-0.52, 0.3)], sail);
    pen.body(&[(-0.95, 0.42), (0.95, 0.42), (0.62, 1.0), (-0.6, 1.0)], color);
    pen.line(&[(-0.86, 0.56), (0.86, 0.56)], 0.05, tone(color));
}

fn star_points() -> Vec<Point> {
    let corner = |corner: usize| {
        let (x, y) = on_circle(corner as f32 / 10.0 - 0.25);
        let radius = if corner.is_multiple_of(2) { 1.0 } else { 0.42 };
        (x * radius, y * radius + 0.06)
    };
    (0..10).map(corner).collect()
}

fn heart_points() -> Vec<Point> {
    let point = |step: usize| {
        let turns = step as f32 / 60.0;
        let (cos, sin) = on_circle(turns);
        let wave = |times: f32| on_circle(turns * times).0;
        let x = 16.0 * sin * sin * sin;
        let y = 13.0 * cos - 5.0 * wave(2.0) - 2.0 * wave(3.0) - wave(4.0);
        (x / 17.0, -y / 17.0)
    };
    (0..60).map(point).collect()
}

fn crescent_points() -> Vec<Point> {
    let mut points = arc((0.1, 0.0), (0.92, 0.92), 0.14, 0.86);
    points.extend(arc((0.42, 0.0), (0.66, 0.73), 0.78, 0.22));
    points
}

fn fish(pen: &mut Pen<'_>, color: Color) {
    // It is flat, and would hover over its shadow.
    pen.center.1 += 0.4 * pen.radius;
    pen.body(&[(-0.45, 0.0), (-0.98, -0.42), (-0.86, 0.0), (-0.98, 0.42)], tone(color));
    pen.body(&[(-0.2, -0.36), (0.1, -0.72), (0.34, -0.3)], tone(color));
    pen.body(&oval((0.16, 0.0), (0.78, 0.46)), color);
    pen.fill(&[(0.04, 0.1), (-0.24, 0.34), (0.2, 0.3)], tone(color));
    pen.line(&arc((0.3, 0.0), (0.16, 0.4), -0.2, 0.2), 0.035, tone(color));
    pen.disc((0.62, -0.1), 0.11, WHITE);
    pen.disc((0.65, -0.1), 0.055, DARK);
    pen.line(&[(0.9, 0.12), (0.76, 0.15)], 0.035, mark(color));
}

fn flower(pen: &mut Pen<'_>, color: Color) {
    pen.line(&[(0.0, 0.0), (0.04, 0.5), (0.0, 1.0)], 0.09, LEAF);
    pen.body(&[(0.02, 0.85), (0.2, 0.5), (0.56, 0.42), (0.4, 0.74)], LEAF);
    pen.body(&[(0.02, 0.92), (-0.2, 0.6), (-0.52, 0.54), (-0.36, 0.82)], LEAF);
    for petal in 0..6 {
        let (x, y) = on_circle(petal as f32 / 6.0);
        pen.body(&oval((x * 0.42, y * 0.42 - 0.34), (0.28, 0.28)), color);
    }
    // A middle of the petals' own colour would be lost.
    let is_golden = color[0] > 200.0 && color[1] > 120.0 && color[2] < 90.0;
    pen.body(&oval((0.0, -0.34), (0.22, 0.22)), if is_golden { WOOD } else { GOLD });
}

fn umbrella(pen: &mut Pen<'_>, color: Color) {
    let mut handle = vec![(0.0, -0.85), (0.0, 0.78)];
    handle.extend(arc((0.16, 0.78), (0.16, 0.18), 0.5, 0.0));
    pen.line(&handle, 0.07, WOOD);
    let mut canopy = arc((0.0, 0.05), (0.96, 0.82), 0.5, 1.0);
    for scallop in [0.64, 0.0, -0.64] {
        canopy.extend(arc((scallop, 0.05), (0.32, 0.13), 1.0, 0.5));
    }
    pen.body(&canopy, color);
    for x in [-0.32, 0.32] {
        pen.line(&[(0.0, -0.77), (x * 0.75, -0.45), (x, -0.02)], 0.035, tone(color));
    }
}

fn kite(pen: &mut Pen<'_>, color: Color) {
    let tail = [(0.0, 0.4), (0.12, 0.55), (-0.08, 0.7), (0.1, 0.84), (-0.02, 1.0)];
    pen.line(&tail, 0.035, GREY);
    for &(x, y) in &tail[1..4] {
        pen.fill(&[(x - 0.12, y - 0.06), (x - 0.12, y + 0.06), (x, y)], tone(color));
        pen.fill(&[(x + 0.12, y - 0.06), (x + 0.12, y + 0.06), (x, y)], tone(color));
    }
    pen.body(&[(0.0, -1.0), (0.6, -0.38), (0.0, 0.44), (-0.6, -0.38)], color);
    pen.fill(&[(0.0, -0.95), (0.56, -0.38), (0.0, -0.38)], mix(color, WHITE, 0.18));
    pen.line(&[(0.0, -1.0), (0.0, 0.44)], 0.035, tone(color));
    pen.line(&[(-0.6, -0.38), (0.6, -0.38)], 0.035, tone(color));
}

fn mountain(pen: &mut Pen<'_>, color: Color) {
    pen.body(&[(-0.1, 1.0), (0.5, -0.1), (0.66, 0.05), (1.05, 1.0)], tone(color));
    pen.body(
        &[(-1.05, 1.0), (-0.52, 0.02), (-0.38, -0.06), (-0.12, -0.85), (0.1, -0.5), (0.72, 1.0)],
        color,
    );
    let snow = if is_light(color) { [196.0, 212.0, 232.0] } else { WHITE };
    let cap = [
        (-0.27, -0.4),
        (-0.12, -0.85),
        (0.1, -0.5),
        (0.18, -0.3),
        (0.06, -0.4),
        (-0.04, -0.22),
        (-0.14, -0.38),
    ];
    pen.fill(&cap, snow);
    pen.line(&[(-0.1, 0.0), (0.05, 0.35), (-0.02, 0.6)], 0.04, tone(color));
    pen.line(&[(-0.5, 0.35), (-0.4, 0.65)], 0.04, tone(color));
}

fn cat(pen: &mut Pen<'_>, color: Color) {
    let mut tail = arc((0.42, 0.62), (0.36, 0.3), 0.25, -0.1);
    tail.push((0.62, 0.2));
    pen.line(&tail, 0.15, tone(color));
    pen.body(&oval((0.0, 0.5), (0.46, 0.5)), color);
    for side in [-1.0, 1.0] {
        pen.body(&oval((side * 0.22, 0.92), (0.17, 0.09)), color);
        pen.body(&[(side * 0.46, -0.42), (side * 0.44, -0.96), (side * 0.1, -0.66)], color);
        pen.fill(
            &[(side * 0.39, -0.54), (side * 0.38, -0.8), (side * 0.2, -0.65)],
            [236.0, 160.0, 166.0],
        );
    }
    pen.body(&oval((0.0, -0.28), (0.52, 0.45)), color);
    for side in [-1.0, 1.0] {
        pen.fill(&oval((side * 0.2, -0.34), (0.11, 0.12)), [206.0, 226.0, 96.0]);
        pen.fill(&oval((side * 0.2, -0.34), (0.035, 0.1)), [20.0; 3]);
        for lift in [-0.05, 0.04] {
            let whisker = [(side * 0.16, -0.13), (side * 0.66, -0.13 + lift * 2.0)];
            pen.line(&whisker, 0.018, mark(color));
        }
        pen.line(&arc((side * 0.08, -0.1), (0.08, 0.07), 0.0, 0.5), 0.03, mark(color));
    }
    pen.fill(&[(-0.07, -0.2), (0.07, -0.2), (0.0, -0.11)], [232.0, 120.0, 134.0]);
}

fn bird(pen: &mut Pen<'_>, color: Color) {
    for x in [-0.1, 0.14] {
        pen.line(&[(x, 0.5), (x, 0.94), (x + 0.14, 0.97)], 0.05, [200.0, 120.0, 40.0]);
    }
    pen.body(&[(-0.45, 0.2), (-0.98, -0.12), (-0.92, 0.2), (-0.98, 0.34)], tone(color));
    pen.body(&oval((0.0, 0.18), (0.6, 0.42)), color);
    pen.body(&oval((0.46, -0.3), (0.34, 0.33)), color);
    pen.disc((0.34, -0.06), 0.26, color);
    let beak = if color[0] > 210.0 && color[1] < 180.0 {
        [250.0, 214.0, 70.0]
    } else {
        [244.0, 150.0, 30.0]
    };
    pen.body(&[(0.76, -0.4), (1.02, -0.26), (0.76, -0.18)], beak);
    pen.disc((0.56, -0.38), 0.085, WHITE);
    pen.disc((0.58, -0.38), 0.045, [15.0; 3]);
    let mut wing = arc((-0.06, 0.12), (0.34, 0.3), 0.0, 0.5);
    wing.push((-0.62, -0.04));
    pen.body(&wing, tone(color));
}

fn balloon(pen: &mut Pen<'_>, color: Color) {
    pen.line(&[(0.0, 0.4), (0.08, 0.6), (-0.06, 0.8), (0.04, 1.0)], 0.03, GREY);
    pen.body(&[(-0.1, 0.5), (0.0, 0.36), (0.1, 0.5)], color);
    pen.body(&oval((0.0, -0.28), (0.6, 0.7)), color);
    pen.fill(&oval((-0.24, -0.56), (0.12, 0.17)), mix(color, WHITE, 0.65));
}

fn mushroom(pen: &mut Pen<'_>, color: Color) {
    let stem = if is_light(color) { [222.0, 206.0, 176.0] } else { [244.0, 234.0, 210.0] };
    pen.body(
        &[(-0.2, 0.05), (0.2, 0.05), (0.28, 0.9), (0.14, 1.0), (-0.14, 1.0), (-0.28, 0.9)],
        stem,
    );
    let mut cap = arc((0.0, 0.1), (0.92, 0.95), 0.5, 1.0);
    cap.extend(arc((0.0, 0.1), (0.92, 0.16), 0.0, 0.5));
    pen.body(&cap, color);
    let dot = if is_light(color) { [186.0, 178.0, 170.0] } else { WHITE };
    for (x, y, radius) in
        [(0.0, -0.5, 0.14), (-0.46, -0.18, 0.12), (0.44, -0.24, 0.13), (0.04, -0.08, 0.09)]
    {
        pen.disc((x, y), radius, dot);
    }
}

fn butterfly(pen: &mut Pen<'_>, color: Color) {
    for side in [-1.0, 1.0] {
        let low = [(0.05, 0.1), (0.5, 0.2), (0.66, 0.5), (0.48, 0.82), (0.2, 0.66)];
        let high =
            [(0.05, 0.05), (0.2, -0.5), (0.6, -0.84), (0.94, -0.68), (0.9, -0.2), (0.55, 0.14)];
        let on_side = |points: &[Point]| -> Vec<Point> {
            points.iter().map(|&(x, y)| (x * side, y)).collect()
        };
        pen.body(&on_side(&low), tone(color));
        pen.body(&on_side(&high), color);
        pen.disc((side * 0.62, -0.45), 0.13, mix(color, WHITE, 0.6));
        pen.disc((side * 0.42, 0.48), 0.09, mix(color, WHITE, 0.6));
        pen.line(
            &[(side * 0.03, -0.4), (side * 0.1, -0.7), (side * 0.24, -0.86)],
            0.03,
            mark(color),
        );
    }
    pen.body(&oval((0.0, 0.1), (0.08, 0.52)), mark(color));
}

fn cup(pen: &mut Pen<'_>, color: Color) {
    pen.line(&arc((0.56, 0.3), (0.34, 0.3), -0.28, 0.28), 0.13, tone(color));
    let mut side = vec![(-0.66, -0.2), (-0.54, 0.86)];
    side.extend(arc((0.0, 0.86), (0.54, 0.14), 0.5, 0.0));
    side.push((0.66, -0.2));
    pen.body(&side, color);
    pen.body(&oval((0.0, -0.2), (0.66, 0.17)), mix(color, WHITE, 0.35));
    pen.fill(&oval((0.0, -0.18), (0.56, 0.115)), [86.0, 52.0, 32.0]);
    for x in [-0.2, 0.2] {
        let steam = [(x, -0.42), (x + 0.09, -0.56), (x - 0.06, -0.7), (x + 0.06, -0.88)];
        pen.line(&steam, 0.045, [232.0, 234.0, 238.0]);
    }
}

fn tent(pen: &mut Pen<'_>, color: Color) {
    pen.body(&[(-0.98, 1.0), (-0.2, -0.62), (0.98, 1.0)], color);
    pen.body(&[(-0.2, -0.62), (0.32, -0.5), (0.98, 1.0)], tone(color));
    pen.fill(&[(-0.56, 1.0), (-0.2, -0.1), (0.2, 1.0)], [52.0, 46.0, 50.0]);
    pen.fill(&[(-0.56, 1.0), (-0.2, -0.1), (-0.3, 0.7)], mix(color, WHITE, 0.3));
    pen.line(&[(-0.2, -0.62), (-0.2, -0.78)], 0.05, WOOD);
}

fn rocket(pen: &mut Pen<'_>, color: Color) {
    pen.fill(&[(-0.2, 0.6), (0.2, 0.6), (0.0, 1.05)], [250.0, 150.0, 30.0]);
    pen.fill(&[(-0.1, 0.6), (0.1, 0.6), (0.0, 0.84)], [255.0, 232.0, 110.0]);
    for side in [-1.0, 1.0] {
        pen.body(
            &[(side * 0.24, 0.1), (side * 0.58, 0.5), (side * 0.56, 0.78), (side * 0.2, 0.56)],
            tone(color),
        );
    }
    let mut hull = vec![(0.0, -1.0)];
    hull.extend(arc((0.0, 0.0), (0.34, 0.75), -0.12, 0.12));
    hull.extend([(0.2, 0.62), (-0.2, 0.62)]);
    hull.extend(arc((0.0, 0.0), (0.34, 0.75), 0.38, 0.62));
    pen.body(&hull, color);
    pen.body(&oval((0.0, -0.2), (0.17, 0.17)), GLASS);
    pen.line(&[(-0.29, 0.36), (0.29, 0.36)], 0.05, tone(color));
}

fn sun(pen: &mut Pen<'_>, color: Color) {
    for ray in 0..12 {
        let at = |turns: f32, radius: f32| {
            let (x, y) = on_circle(turns);
            (x * radius, y * radius)
        };
        let turns = ray as f32 / 12.0;
        pen.fill(&[at(turns - 0.025, 0.64), at(turns + 0.025, 0.64), at(turns, 1.0)], color);
    }
    pen.body(&oval((0.0, 0.0), (0.58, 0.58)), color);
}
