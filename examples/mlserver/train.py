"""Fits the iris classifier that MLServer serves, and saves it as iris/model.joblib.

The data set comes with scikit-learn: nothing is downloaded. A model file is only good for the
library versions it was made with, so that it is made here rather than kept in the repository.
"""

from pathlib import Path

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

MODEL = Path(__file__).parent / "iris" / "model.joblib"

features, species = load_iris(return_X_y=True)
train_features, test_features, train_species, test_species = train_test_split(
    features, species, test_size=0.2, random_state=0, stratify=species
)
model = LogisticRegression(max_iter=1000).fit(train_features, train_species)
joblib.dump(model, MODEL)
print(f"{MODEL}: {model.score(test_features, test_species):.0%} of the test flowers right")
