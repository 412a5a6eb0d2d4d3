//! Draws the places behind the things.

use super::raster::{Canvas, Color, Point, SIDE, arc, mix, oval, rect, shade};
use super::rng::Rng;
use super::words::Place;

/// A canvas with nothing but the place on it.
pub(super) fn draw(place: Place, rng: &mut Rng) -> Canvas {
    match place {
        Place::Grass => grass(rng),
        Place::Sea => sea(rng),
        Place::Beach => beach(rng),
        Place::Night => night(rng),
        Place::Snow => snow(rng),
        Place::Road => road(rng),
        Place::Sunset => sunset(rng),
        Place::Sky => sky(rng),
        Place::Wall => wall(rng),
        Place::Floor => floor(rng),
    }
}

/// Whether things throw a shadow on it.
pub(super) fn has_ground(place: Place) -> bool {
    match place {
        Place::Grass | Place::Beach | Place::Snow | Place::Road | Place::Wall | Place::Floor => {
            true
        }
        Place::Sea | Place::Night | Place::Sunset | Place::Sky => false,
    }
}

/// A soft shadow under a frame.
pub(super) fn shadow(canvas: &mut Canvas, (x, y): Point, radius: f32) {
    let black = [0.0; 3];
    for (width, opacity) in [(1.0, 0.1), (0.85, 0.12)] {
        let size = (radius * width, radius * 0.16 * width);
        canvas.fill(&oval((x, y + radius * 0.97), size), black, black, opacity);
    }
}

fn tinted(color: Color, rng: &mut Rng) -> Color {
    shade(color, rng.between(0.92, 1.06))
}

fn any_point(rng: &mut Rng, top: f32, bottom: f32) -> Point {
    (rng.between(0.0, SIDE), rng.between(top, bottom))
}

/// Fills everything below a line.
fn ground(canvas: &mut Canvas, top: f32, color: Color) {
    canvas.fill(&rect((0.0, top), (SIDE, SIDE)), shade(color, 1.05), shade(color, 0.88), 1.0);
}

fn strip(canvas: &mut Canvas, points: &[Point], color: Color, opacity: f32) {
    canvas.fill(points, color, color, opacity);
}

/// A pale sky over ground that begins at a random height; returns that height.
fn landscape(rng: &mut Rng, sky: Color, color: Color) -> (Canvas, f32) {
    let sky = tinted(sky, rng);
    let horizon = rng.between(0.3, 0.46) * SIDE;
    let mut canvas = Canvas::new(sky);
    canvas.fill(&rect((0.0, 0.0), (SIDE, horizon)), sky, mix(sky, [255.0; 3], 0.5), 1.0);
    ground(&mut canvas, horizon, tinted(color, rng));
    (canvas, horizon)
}

fn grass(rng: &mut Rng) -> Canvas {
    let (mut canvas, horizon) = landscape(rng, [205.0, 225.0, 240.0], [98.0, 184.0, 66.0]);
    for _blade in 0..90 {
        let (x, y) = any_point(rng, horizon + 4.0, SIDE);
        let (lean, height) = (rng.between(-3.0, 3.0), rng.between(5.0, 10.0));
        let color = if rng.chance(0.5) { [60.0, 140.0, 44.0] } else { [140.0, 212.0, 96.0] };
        strip(&mut canvas, &[(x - 1.2, y), (x + 1.2, y), (x + lean, y - height)], color, 1.0);
    }
    canvas
}

fn sea(rng: &mut Rng) -> Canvas {
    let (mut canvas, horizon) = landscape(rng, [214.0, 232.0, 244.0], [40.0, 112.0, 196.0]);
    for _wave in 0..34 {
        let (x, y) = any_point(rng, horizon + 6.0, SIDE);
        let size = 4.0 + 9.0 * (y - horizon) / (SIDE - horizon);
        let mut crest = arc((x, y), (size, size * 0.4), 0.5, 1.0);
        crest.extend(arc((x, y + 1.8), (size, size * 0.4), 1.0, 0.5));
        strip(&mut canvas, &crest, [170.0, 212.0, 242.0], 0.9);
    }
    canvas
}

fn beach(rng: &mut Rng) -> Canvas {
    let (mut canvas, horizon) = landscape(rng, [190.0, 222.0, 240.0], [238.0, 212.0, 140.0]);
    let water = rect((0.0, horizon - 16.0), (SIDE, horizon));
    canvas.fill(&water, [70.0, 150.0, 205.0], [110.0, 185.0, 220.0], 1.0);
    for _grain in 0..110 {
        let center = any_point(rng, horizon + 3.0, SIDE);
        let color = if rng.chance(0.6) { [206.0, 174.0, 104.0] } else { [250.0, 234.0, 184.0] };
        let size = rng.between(0.8, 1.8);
        strip(&mut canvas, &oval(center, (size, size * 0.7)), color, 1.0);
    }
    canvas
}

fn night(rng: &mut Rng) -> Canvas {
    let dark = tinted([14.0, 18.0, 52.0], rng);
    let mut canvas = Canvas::new(dark);
    canvas.fill(&rect((0.0, 0.0), (SIDE, SIDE)), dark, mix(dark, [52.0, 50.0, 110.0], 0.8), 1.0);
    for _star in 0..70 {
        let center = any_point(rng, 0.0, SIDE);
        let size = rng.between(0.6, 1.7);
        strip(&mut canvas, &oval(center, (size, size)), [250.0, 248.0, 225.0], 1.0);
    }
    canvas
}

fn snow(rng: &mut Rng) -> Canvas {
    let (mut canvas, horizon) = landscape(rng, [168.0, 188.0, 208.0], [240.0, 245.0, 252.0]);
    for _drift in 0..5 {
        let (x, y) = any_point(rng, horizon + 12.0, SIDE);
        let size = (rng.between(25.0, 60.0), rng.between(3.0, 7.0));
        strip(&mut canvas, &oval((x, y), size), [212.0, 224.0, 240.0], 0.8);
    }
    for _flake in 0..70 {
        let center = any_point(rng, 0.0, SIDE);
        let size = rng.between(1.0, 2.4);
        strip(&mut canvas, &oval(center, (size, size)), [255.0; 3], 1.0);
    }
    canvas
}

fn road(rng: &mut Rng) -> Canvas {
    let (mut canvas, horizon) = landscape(rng, [206.0, 222.0, 234.0], [120.0, 121.0, 126.0]);
    let curb = rect((0.0, horizon), (SIDE, horizon + 7.0));
    strip(&mut canvas, &curb, [176.0, 176.0, 172.0], 1.0);
    let line_y = rng.between(0.72, 0.84) * SIDE;
    let start = rng.between(-50.0, 0.0);
    for dash in 0..5 {
        let x = start + dash as f32 * 62.0;
        let dash =
            [(x + 6.0, line_y), (x + 42.0, line_y), (x + 38.0, line_y + 8.0), (x, line_y + 8.0)];
        strip(&mut canvas, &dash, [240.0, 240.0, 235.0], 1.0);
    }
    for _stone in 0..60 {
        let center = any_point(rng, horizon + 10.0, SIDE);
        let color = if rng.chance(0.5) { [102.0, 103.0, 108.0] } else { [142.0, 142.0, 146.0] };
        strip(&mut canvas, &oval(center, (1.3, 0.9)), color, 1.0);
    }
    canvas
}

fn sunset(rng: &mut Rng) -> Canvas {
    let (high, low) = ([186.0, 96.0, 166.0], [255.0, 176.0, 150.0]);
    let mut canvas = Canvas::new(low);
    let (high, low) = (tinted(high, rng), tinted(low, rng));
    let middle = mix(high, [250.0, 130.0, 160.0], 0.75);
    canvas.fill(&rect((0.0, 0.0), (SIDE, SIDE * 0.45)), high, middle, 1.0);
    canvas.fill(&rect((0.0, SIDE * 0.45), (SIDE, SIDE)), middle, low, 1.0);
    for _cloud in 0..5 {
        let (x, y) = any_point(rng, 10.0, SIDE * 0.75);
        let size = (rng.between(25.0, 60.0), rng.between(2.5, 5.0));
        strip(&mut canvas, &oval((x, y), size), [255.0, 205.0, 190.0], 0.55);
    }
    let hill_x = rng.between(0.1, 0.9) * SIDE;
    strip(
        &mut canvas,
        &oval((hill_x, SIDE * 1.25), (SIDE * 1.1, SIDE * 0.42)),
        [92.0, 52.0, 96.0],
        1.0,
    );
    canvas
}

fn sky(rng: &mut Rng) -> Canvas {
    let blue = tinted([88.0, 164.0, 238.0], rng);
    let mut canvas = Canvas::new(blue);
    canvas.fill(
        &rect((0.0, 0.0), (SIDE, SIDE)),
        shade(blue, 0.92),
        mix(blue, [255.0; 3], 0.35),
        1.0,
    );
    for _cloud in 0..5 {
        let (x, y) = any_point(rng, 10.0, SIDE - 10.0);
        let size = rng.between(9.0, 17.0);
        for (dx, dy, part) in
            [(-1.2, 0.2, 0.8), (0.0, -0.3, 1.1), (1.2, 0.2, 0.85), (0.0, 0.4, 1.0)]
        {
            let center = (x + dx * size, y + dy * size);
            strip(&mut canvas, &oval(center, (size * part, size * part * 0.75)), [250.0; 3], 1.0);
        }
    }
    canvas
}

fn wall(rng: &mut Rng) -> Canvas {
    let mortar = [206.0, 194.0, 184.0];
    let brick = tinted([172.0, 84.0, 62.0], rng);
    let mut canvas = Canvas::new(mortar);
    let floor_y = rng.between(0.8, 0.86) * SIDE;
    let (width, height) = (34.0, 15.0);
    let shift = rng.between(0.0, width);
    for row in 0..13 {
        let y = row as f32 * height;
        let offset = shift + if row % 2 == 0 { 0.0 } else { width / 2.0 };
        for column in -2..8 {
            let x = column as f32 * width + offset;
            let color = shade(brick, *rng.pick(&[0.9, 1.0, 1.0, 1.1]));
            strip(&mut canvas, &rect((x, y), (x + width - 2.5, y + height - 2.5)), color, 1.0);
        }
    }
    ground(&mut canvas, floor_y, tinted([168.0, 164.0, 158.0], rng));
    canvas
}

fn floor(rng: &mut Rng) -> Canvas {
    let wood = tinted([190.0, 136.0, 82.0], rng);
    let mut canvas = Canvas::new([236.0, 230.0, 216.0]);
    let horizon = rng.between(0.22, 0.36) * SIDE;
    ground(&mut canvas, horizon, wood);
    strip(&mut canvas, &rect((0.0, horizon - 6.0), (SIDE, horizon)), [250.0, 248.0, 242.0], 1.0);
    let vanishing = (SIDE * rng.between(0.4, 0.6), horizon - 120.0);
    for plank in -7..=14 {
        let foot = plank as f32 * 34.0;
        let part = (horizon - vanishing.1) / (SIDE - vanishing.1);
        let head = vanishing.0 + (foot - vanishing.0) * part;
        let gap =
            [(head - 0.7, horizon), (head + 0.7, horizon), (foot + 1.3, SIDE), (foot - 1.3, SIDE)];
        strip(&mut canvas, &gap, shade(wood, 0.62), 1.0);
    }
    canvas
}
