from shoegen.stylegan.config import AugmentConfig
from shoegen.stylegan.watch import PATIENCE, Watch


def advice(watch, times=1, **figures):
    return [line for _ in range(times) for line in watch.advice(figures)]


def test_a_healthy_training_is_left_alone():
    assert advice(Watch(AugmentConfig()), 10, r_t=0.6, augment_p=0.3, nonfinite_updates=0, diversity=1) == []


def test_overfitting_is_said_once():
    watch = Watch(AugmentConfig())
    lines = advice(watch, 10, r_t=0.95, augment_p=0.9)
    assert len(lines) == 1
    assert "knows the pictures by heart (r_t +0.95, augmentation is at 0.90)" in lines[0]
    advice(watch, 1, r_t=0.5, augment_p=0.9)
    assert len(advice(watch, 10, r_t=0.95, augment_p=0.9)) == 1  # again


def test_a_high_r_t_is_fine_while_augmentation_can_still_grow():
    assert advice(Watch(AugmentConfig()), 10, r_t=0.95, augment_p=0.1) == []
    assert (
        "no augmentation" in advice(Watch(AugmentConfig(mode="none")), PATIENCE, r_t=0.95, augment_p=0.0)[0]
    )


def test_augmentation_at_its_ceiling_is_said():
    lines = advice(Watch(AugmentConfig()), 10, r_t=0.65, augment_p=1.0)
    assert len(lines) == 1
    assert "at its ceiling" in lines[0]


def test_a_generator_that_repeats_itself_is_said_at_once():
    assert "repeats itself" in advice(Watch(AugmentConfig()), diversity=0.1)[0]
    watch = Watch(AugmentConfig())
    assert advice(watch, diversity=0.5) == []
    assert advice(watch, diversity=0.8) == []
    assert (
        "differ 0.40 times as much as the pictures do, after 0.80 at best" in advice(watch, diversity=0.4)[0]
    )


def test_bad_gradients_are_said_whenever_there_are_more():
    watch = Watch(AugmentConfig())
    assert "2 gradients" in advice(watch, nonfinite_updates=2)[0]
    assert advice(watch, nonfinite_updates=2) == []
    assert "3 gradients" in advice(watch, nonfinite_updates=3)[0]
