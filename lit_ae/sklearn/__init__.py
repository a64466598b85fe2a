"""The families as scikit-learn estimators: `AutoencoderTransformer` and `AutoencoderOutlierDetector`.

>>> import numpy as np
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from lit_ae.sklearn import AutoencoderTransformer
>>> x = np.random.default_rng(0).normal(size=(100, 8))
>>> model = make_pipeline(StandardScaler(), AutoencoderTransformer("VAE", latent_dim=2, max_iter=2, random_state=0))
>>> model.fit_transform(x).shape
(100, 2)
"""

from lit_ae.sklearn.outlier_detector import AutoencoderOutlierDetector
from lit_ae.sklearn.transformer import AutoencoderTransformer

__all__ = ["AutoencoderOutlierDetector", "AutoencoderTransformer"]
