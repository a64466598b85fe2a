// The whole page: the samples that all runs share, what links the runs, and the pad for an image of one's own.
"use strict";

class Page {
  constructor(facts) {
    this.facts = facts;
    this.main = document.getElementById("runs");
  }

  async start() {
    const {facts} = this;
    facts.x = await unpack(facts.x);
    facts.y = facts.y && (await unpack(facts.y));
    for (const name of Object.keys(facts.factors)) facts.factors[name] = await unpack(facts.factors[name]);
    this.bytes = facts.x.data instanceof Uint8Array;
    this.panes = [];
    for (const [index, run] of facts.runs.entries()) this.panes.push(new Pane(this, await this.unpacked(run), index));
    for (const pane of this.panes) await pane.start();
    const linked = facts.runs.length > 1 ? " What is chosen in one run is chosen in all." : "";
    document.getElementById("about").textContent = facts.count
      ? `${facts.count} samples of the test split, numbered from 0.${linked}` : "A model without encoder: sliders and samples.";
    this.startPad();
    this.say("Ready.");
  }

  async unpacked(run) {
    for (const key of ["codes", "mean", "spread"]) run[key] = await unpack(run[key]);
    run.std = run.std && (await unpack(run.std));
    for (const name of Object.keys(run.values)) run.values[name] = await unpack(run.values[name]);
    for (const part of [...run.maps, ...run.samplers]) {
      for (const [key, value] of Object.entries(part)) if (value.data) part[key] = await unpack(value);
    }
    run.decoder = run.decoder && (await unpackOps(run.decoder));
    run.encoder = run.encoder && (await unpackOps(run.encoder));
    return run;
  }

  say(text) {
    document.getElementById("said").textContent = text;
  }

  // The values of a sample, in the units of the data
  sample(i) {
    const {facts} = this, n = product(facts.shape), [low, high] = facts.range, part = facts.x.data.subarray(i * n, (i + 1) * n);
    return Float32Array.from(part, this.bytes ? value => low + (value / 255) * (high - low) : value => value);
  }

  async choose(i) {
    for (const pane of this.panes) await pane.choose(i);
    this.say(`Chosen: ${this.panes[0].about(i)}.`);
  }

  async select(indices) {
    for (const pane of this.panes) await pane.select(indices);
    this.say(indices ? `A group of ${indices.length} samples.` : "No group.");
  }

  save(name, text) {
    const link = element("a", {href: URL.createObjectURL(new Blob([text], {type: "text/csv"})), download: name});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // -- an image of the user's own ------------------------------------------------------------------------------------

  startPad() {
    const {facts} = this;
    if (facts.shape.length !== 3 || !this.panes.some(pane => pane.run.encoder)) return;
    const [channels, height, width] = facts.shape, pad = document.getElementById("pad");
    document.getElementById("drawing").hidden = false;
    Object.assign(pad, {width, height});
    const context = pad.getContext("2d", {willReadFrequently: true});
    const clear = (grey = 0) => {
      context.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
      context.fillRect(0, 0, width, height);
    };
    const encode = async () => {
      const pixels = context.getImageData(0, 0, width, height).data, [low, high] = facts.range;
      // Colours become grey as where images are read for training: the luminance of ITU-R 601-2
      const grey = i => 0.299 * pixels[4 * i] + 0.587 * pixels[4 * i + 1] + 0.114 * pixels[4 * i + 2];
      const level = (i, c) => (channels === 3 ? pixels[4 * i + c] : grey(i));
      const values = Float32Array.from({length: channels * height * width},
        (_, at) => low + (level(at % (height * width), Math.floor(at / (height * width))) / 255) * (high - low));
      const made = [];
      for (const pane of this.panes) made.push(...(await pane.encode(values)));
      document.getElementById("encoded").replaceChildren(...made);
    };
    const line = (from, to) => {
      context.strokeStyle = "#ffffff";
      context.lineWidth = Math.max(1, width / 12);
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(to[0] + 0.01, to[1]);
      context.stroke();
    };
    const at = event => {
      const box = pad.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
    };
    let last = null;
    pad.addEventListener("pointerdown", event => {
      pad.setPointerCapture(event.pointerId);
      last = at(event);
      line(last, last);
    });
    pad.addEventListener("pointermove", event => {
      if (!last) return;
      line(last, at(event));
      last = at(event);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      pad.addEventListener(end, () => {
        if (last) encode();
        last = null;
      });
    }
    const pen = {at: [width / 2, height / 2], down: false};
    pad.addEventListener("keydown", event => {
      const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (event.key === " ") pen.down = !pen.down;
      else if (!step) return;
      event.preventDefault();
      const to = step ? [pen.at[0] + step[0], pen.at[1] + step[1]] : pen.at;
      if (pen.down) line(pen.at, to);
      pen.at = to;
      this.say(`Pen at column ${Math.round(to[0])}, row ${Math.round(to[1])}, ${pen.down ? "drawing" : "lifted"}.`);
      if (pen.down) encode();
    });
    document.getElementById("clear").addEventListener("click", () => {
      clear();
      for (const pane of this.panes) {
        pane.own = null;
        pane.drawMarks();
      }
      document.getElementById("encoded").replaceChildren();
    });
    const insert = async file => {
      if (!file) return;
      try {
        const image = await createImageBitmap(file);
        clear(facts.background);
        context.imageSmoothingQuality = "high";
        context.drawImage(image, 0, 0, width, height);
        await encode();
      } catch {
        this.say(`${file.name} is no image that this browser can read.`);
      }
    };
    document.getElementById("file").addEventListener("change", event => insert(event.target.files[0]));
    pad.addEventListener("dragover", event => event.preventDefault());
    pad.addEventListener("drop", event => {
      event.preventDefault();
      insert(event.dataTransfer.files[0]);
    });
    clear();
  }
}

window.explorer = new Page(JSON.parse(document.getElementById("facts").textContent));
window.explorer.ready = window.explorer.start().catch(error => {
  window.explorer.say(`This page cannot be shown: ${error.message}`);
  throw error;
});
