// The part of a map that is in sight: between coordinates of the map and pixels, zooming and moving.
"use strict";

const STEP = 1.5; // factor of one step of zooming
const CLOSEST = 1e4; // times the whole map

class View {
  // The whole of points [N, 2], with a margin
  constructor(points) {
    const axis = offset => {
      let low = Infinity, high = -Infinity;
      for (let i = offset; i < points.length; i += 2) [low, high] = [Math.min(low, points[i]), Math.max(high, points[i])];
      const margin = 0.06 * (high - low) || 1;
      return [low - margin, high + margin];
    };
    this.whole = [axis(0), axis(1)];
    this.reset();
  }

  reset() {
    this.bounds = this.whole;
  }

  get magnification() {
    return (this.whole[0][1] - this.whole[0][0]) / (this.bounds[0][1] - this.bounds[0][0]);
  }

  pixel(x, y, {width, height}) {
    const [[left, right], [low, high]] = this.bounds;
    return [((x - left) / (right - left)) * width, (1 - (y - low) / (high - low)) * height];
  }

  point(px, py, {width, height}) {
    const [[left, right], [low, high]] = this.bounds;
    return [left + (px / width) * (right - left), low + (1 - py / height) * (high - low)];
  }

  // Larger by a factor, while what is at that pixel stays there; never smaller than the whole
  zoom(factor, px, py, room) {
    if (factor * this.magnification > CLOSEST) return;
    if (factor * this.magnification <= 1.001) {
      this.reset();
      return;
    }
    const at = this.point(px, py, room);
    this.bounds = this.bounds.map((range, axis) => range.map(end => at[axis] + (end - at[axis]) / factor));
  }

  // Moves what is seen by so many pixels
  pan(dx, dy, {width, height}) {
    const [[left, right], [low, high]] = this.bounds;
    const [x, y] = [(-dx / width) * (right - left), (dy / height) * (high - low)];
    this.bounds = [[left + x, right + x], [low + y, high + y]];
  }
}
