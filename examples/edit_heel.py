"""Edit a heel cell by cell, in an editor or notebook that knows `# %%`. A shoe on a cell's last line shows itself."""

# %% One shoe of the model that ships with shoegen
import shoegen

model = shoegen.load("default")
shoe = model.sample(seed=7)
shoe

# %% Its parts were segmented and measured: fractions of the shoe's length
print(f"heel: {shoe.measures['heel_height']:.3f}")

# %% Two standard deviations more heel
taller = shoe.edit(heel=2)
print(f"heel: {taller.measures['heel_height']:.3f}")
taller.save("taller.png")

# %% 20 mm more heel on a shoe of 265 mm: the strength is found by measuring
shoe.edit(heel="+20mm", shoe_length=265).history[-1].say()

# %% A heel of 80 mm, and what else it changed
target = shoe.edit(heel="80mm")
report = target.report(shoe)
print(report)
report

# %% To be taken up again
target.save_latent("mine.safetensors", name="mine")
shoegen.load_shoe("mine.safetensors", model).edit(heel="-10mm")

# %% From low to high
strip = shoe.strip(heel=[-2, -1, 0, 1, 2])
strip.save("strip.png")
strip
