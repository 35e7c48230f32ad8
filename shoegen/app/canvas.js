// A part map under a brush: every pixel is a class, so no colour between two classes is ever drawn.
const SIDE = 256, UNDOS = 50;
const canvas = element.querySelector('canvas');
const palette = JSON.parse(canvas.dataset.colors);
const context = canvas.getContext('2d', {willReadFrequently: true});
const sizes = element.querySelector('.brush-size');
let map = new Uint8Array(SIDE * SIDE), done = [], undone = [], part = 3, fills = false, last = null;

function show() {
  const image = context.createImageData(SIDE, SIDE);
  for (let i = 0; i < map.length; i++) {
    image.data.set(palette[map[i]], 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
function tell() {
  props.value = canvas.toDataURL('image/png');
  trigger('input');
}
function nearest(r, g, b) {
  let best = 0, least = Infinity;
  palette.forEach((color, i) => {
    const distance = (color[0] - r) ** 2 + (color[1] - g) ** 2 + (color[2] - b) ** 2;
    if (distance < least) { least = distance; best = i; }
  });
  return best;
}
function load(url) {
  if (!url) { map.fill(0); show(); return; }
  const image = new Image();
  image.onload = () => {
    context.drawImage(image, 0, 0, SIDE, SIDE);
    const {data} = context.getImageData(0, 0, SIDE, SIDE);
    for (let i = 0; i < map.length; i++) map[i] = nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]);
    show();
  };
  image.src = url;
}
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * SIDE, (event.clientY - box.top) / box.height * SIDE];
}
function dot(x, y) {
  const radius = Number(sizes.value) / 2;
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(SIDE - 1, y + radius); row++) {
    const half = Math.sqrt(radius ** 2 - (row - y) ** 2);
    const from = Math.max(0, Math.ceil(x - half)), to = Math.min(SIDE - 1, Math.floor(x + half));
    if (from <= to) map.fill(part, row * SIDE + from, row * SIDE + to + 1);
  }
}
function line(to) {
  const [x, y] = last ?? to, steps = Math.max(1, Math.ceil(Math.hypot(to[0] - x, to[1] - y)));
  for (let i = 0; i <= steps; i++) dot(x + (to[0] - x) * i / steps, y + (to[1] - y) * i / steps);
  last = to;
  show();
}
function fill(x, y) {
  const old = map[y * SIDE + x], todo = [y * SIDE + x];
  if (old === part) return;
  while (todo.length) {
    const i = todo.pop();
    if (map[i] !== old) continue;
    map[i] = part;
    if (i % SIDE) todo.push(i - 1);
    if (i % SIDE < SIDE - 1) todo.push(i + 1);
    if (i >= SIDE) todo.push(i - SIDE);
    if (i < SIDE * (SIDE - 1)) todo.push(i + SIDE);
  }
  show();
}
function remember() {
  done.push(map.slice());
  if (done.length > UNDOS) done.shift();
  undone = [];
}
function swap(from, to) {
  if (!from.length) return;
  to.push(map); map = from.pop(); show(); tell();
}
canvas.addEventListener('pointerdown', event => {
  canvas.setPointerCapture(event.pointerId);
  remember();
  const at = place(event);
  if (fills) fill(Math.min(SIDE - 1, Math.floor(at[0])), Math.min(SIDE - 1, Math.floor(at[1])));
  else { last = null; line(at); }
});
canvas.addEventListener('pointermove', event => { if (last) line(place(event)); });
for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { last = null; tell(); });

element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button) return;
  const {part: chosen, tool} = button.dataset;
  if (chosen !== undefined) part = Number(chosen);
  else if (tool === 'undo') swap(done, undone);
  else if (tool === 'redo') swap(undone, done);
  else if (tool === 'clear') { remember(); map = new Uint8Array(SIDE * SIDE); show(); tell(); }
  else fills = tool === 'fill';
  for (const each of element.querySelectorAll('button')) {
    if (each.dataset.part !== undefined) each.setAttribute('aria-pressed', Number(each.dataset.part) === part);
    if (['brush', 'fill'].includes(each.dataset.tool)) each.setAttribute('aria-pressed', (each.dataset.tool === 'fill') === fills);
  }
});
watch('value', () => { remember(); load(props.value); });
show();
load(props.value);
