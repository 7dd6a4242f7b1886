"""Muon for networks of convolutions: each step of a kernel is made orthogonal, so that no direction of it lags behind.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024. Its steps are as large as AdamW's, so
that one learning rate and one weight decay are both's: J. Liu et al., "Muon is scalable for LLM training",
arXiv:2502.16982.
"""

from typing import Any

import keras
from keras import ops

_FEWEST_OUTPUTS = 4


class ConvolutionMuon(keras.optimizers.Muon):  # type: ignore[misc]  # Keras has no types
    """Keras' own takes matrices alone; this takes a kernel (height, width, in, out) for one of (height·width·in, out).

    AdamW, which it has within, takes biases, scales and what ends in a few numbers: a logit, an attention.
    """

    def __init__(self, learning_rate: Any = 1e-3, *, weight_decay: float = 0.004, **keywords: Any) -> None:
        keywords.setdefault("adam_weight_decay", weight_decay)  # Keras' own is 0.004, whatever the other
        super().__init__(learning_rate, weight_decay=weight_decay, **keywords)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) not in (2, 4) or variable.shape[-1] < _FEWEST_OUTPUTS

    def _muon_update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, lr: keras.KerasTensor, m: keras.Variable
    ) -> None:
        self.assign_add(m, gradient + m * (self.momentum - 1))
        ahead = ops.reshape(gradient + self.momentum * m, (-1, variable.shape[-1]))
        step = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(ahead, self.ns_steps))
        self.assign_sub(variable, ops.reshape(step, variable.shape))
