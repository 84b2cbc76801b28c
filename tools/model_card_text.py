"""The texts of the model cards that model_cards.py writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PURPOSES: Mapping[str, str] = {
    "nano": "is for microcontrollers; it fits into flash memory beside the program",
    "edge": "is shipped with fmx-runtime, and is the default of `fmx train`",
    "max": "has the highest accuracy, for uses in which a prediction may take milliseconds; it is "
    "a teacher of the other networks",
}

TEMPLATE = """# {name}: model card

{name} {purpose}.
It classifies images into the ten kinds of clothes of Fashion-MNIST. Written by `make model-cards`,
which measures all figures below, except latencies on other kinds of processors.

| | |
| --- | --- |
| input | one image, {metadata.input.width}x{metadata.input.height}, gray, uint8; `fmx-run` \
converts any image to it |
| output | probabilities of {labels} |
| file | int8 TFLite, {file_kb:.1f} KB |
| accuracy on {test_images:,} test images | {mean:.2%}, mean of {seeds} seed(s); \
seed {seed} {accuracy:.2%}, 95 % interval {low:.2%} to {high:.2%} |
{latencies}
| license | Apache-2.0 |

## Data
Trained on 55,000 of Fashion-MNIST's training images (MIT license, Zalando SE), and on photos of
clothes laid flat (Grigorev, 2020, CC0). The garments were segmented as `fmx-run` does. Each photo
was used four times: as it is, and three times with other light, rotation and distance. 5,000 other
training images, and photos that were set apart, were used to choose between networks. The test
images were used for the final measurement only: they are not read before a training is over, and
calibration uses training images.

## How to reproduce it
```
{commands}
fmx export --int8 RUN
```

{epochs}{of_recipe} epochs. Each folder has the settings (run.json), the history of its epochs
(history.json) and its metrics (metrics.json).

| seed | validation accuracy, int8 | test accuracy, int8 | size | folder |
| --- | ---: | ---: | ---: | --- |
{seed_rows}
{chosen}
## Photos
{photos}
## By class (seed {seed}, int8, test images)
| class | recall | precision |
| --- | ---: | ---: |
{class_rows}

Most frequent confusions:

{confusions}

## Intended use and limitations
For learning, for demonstrations, and as a start for networks of your own (`fmx train --data`).
The model knows ten kinds of clothes and predicts one of them for any image: it also gives a hat, a
face or an empty table one of these labels, often with a high score. Photos should show one
garment, laid flat or on a hanger, on a background of another color. Worn clothes, several garments
in one photo and patterned backgrounds are often misclassified. People, too, confuse shirts,
T-shirts, pullovers and coats. Do not use the model for decisions about people.
"""

CHOSEN_SEED = """
This card is about seed {seed}, the best on the validation images.
"""

PHOTOS_TEMPLATE = """Accuracy on photos not used for training, preprocessed by `fmx-run`: \
{mean:.1%}, the mean of the kinds
(`make model-cards PHOTOS=DIR`).

| kind | correct labels | photos | accuracy |
| --- | --- | ---: | ---: |
{rows}
"""

PHOTOS_NOT_MEASURED = "Not measured; `make model-cards PHOTOS=DIR` does.\n"
