// A file goes to the server inside the event that it triggers, so that it is on no disk there.
const input = element.querySelector('input'), area = element.querySelector('.drop');
const told = element.querySelector('.told'), most = Number(area.dataset.most);

function take(file) {
  if (!file) return;
  told.className = 'told';
  if (file.size > most) {
    told.className = 'told refusal';
    told.textContent = `${file.name} has ${(file.size / 1e6).toPrecision(3)} MB; at most ${most / 1e6} MB are taken.`;
    return;
  }
  told.textContent = file.name;
  const reader = new FileReader();
  reader.onload = () => {
    props.value = {name: file.name, when: Date.now(), data: reader.result.slice(reader.result.indexOf(',') + 1)};
    trigger('upload');
  };
  reader.onerror = () => {
    told.className = 'told refusal';
    told.textContent = `${file.name} cannot be read; choose another.`;
  };
  reader.readAsDataURL(file);
}
input.addEventListener('change', () => { take(input.files[0]); input.value = ''; });
for (const name of ['dragover', 'dragleave', 'drop']) {
  area.addEventListener(name, event => {
    event.preventDefault();
    area.classList.toggle('over', name === 'dragover');
    if (name === 'drop') take(event.dataTransfer.files[0]);
  });
}
