"""Adafactor: a factored second moment, and steps relative to the size of the parameters.

Noam Shazeer and Mitchell Stern (2018), "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
arXiv:1804.04235, Algorithms 4 (matrices) and 5 (vectors), with the settings of section 9.

    b_t = 1 - t^(-decay_power)
    rho_t = min(lr_t, 1 / sqrt(t))  (relative_step),  else lr_t
    alpha_t = max(eps2, RMS(theta)) rho_t  (scale_parameter),  else rho_t
    matrix: R_t = b_t R_{t-1} + (1 - b_t) sum over columns of (g^2 + eps1)    one for each row      R_0 = C_0 = 0
            C_t = b_t C_{t-1} + (1 - b_t) sum over rows of (g^2 + eps1)       one for each column
            V_t = R_t C_t / sum(R_t)
    vector: V_t = b_t V_{t-1} + (1 - b_t) (g^2 + eps1)                                              V_0 = 0
    U = g / sqrt(V_t),  U <- U / max(1, RMS(U) / clip_threshold)
    S = alpha_t U  without beta1,  else  S = m_t = beta1 m_{t-1} + (1 - beta1) alpha_t U               m_0 = 0
    theta <- (1 - alpha_t wd) theta - S

eps1 is added to every squared gradient before the sums (1e-30: it only prevents 0 / 0). torch instead clamps V at its
own eps1 squared. A relative step is capped by lr_t, with the schedule inside the minimum: the paper has 1e-2, or for a
warm-up 1e-6 t. The other modes are those of mesh-tensorflow, T5X and fairseq, where a given learning rate is the step;
their momentum averages the steps alpha_t U, without bias correction. b_1 = 0, so no bias of V needs correction either,
and the first U of a vector is sign(g). The paper does not treat tensors of more than two dimensions. Here
their last two dimensions form matrices, each factored by itself; every RMS is over the whole tensor. A matrix with a
side of length 1 is factored like any other; 0 and 1 dimensions are not factored.
Weight decay is not in the paper: it is decoupled and scaled by alpha_t (torch: by lr). alpha_t uses the RMS of theta
before the decay. Decay and step share this alpha_t, so their order does not matter.
"""

import numpy as np

from optbench.checks.papers import Array, Gradients, Rates, Trajectory


def _rms(x: Array) -> float:
    return np.sqrt(np.sum(x**2) / max(1, x.size))


def paper(
    theta: Array,
    steps: Gradients,
    *,
    lr: Rates,
    relative_step: bool,
    scale_parameter: bool,
    beta1: float | None,
    decay_power: float,
    eps1: float,
    eps2: float,
    clip_threshold: float,
    weight_decay: float,
) -> Trajectory:
    """Yield theta after each step."""
    R = C = V = m = 0.0
    for t, (g, rate) in enumerate(zip(steps, lr), 1):
        b = 1 - t**-decay_power
        alpha = min(rate, 1 / np.sqrt(t)) if relative_step else rate
        if scale_parameter:
            alpha = alpha * max(eps2, _rms(theta))
        square = g**2 + eps1
        if theta.ndim >= 2:
            R = b * R + (1 - b) * square.sum(axis=-1, keepdims=True)
            C = b * C + (1 - b) * square.sum(axis=-2, keepdims=True)
            V = R * C / R.sum(axis=-2, keepdims=True)
        else:
            V = b * V + (1 - b) * square
        U = g / np.sqrt(V)
        U = U / max(1.0, _rms(U) / clip_threshold)
        m = alpha * U if beta1 is None else beta1 * m + (1 - beta1) * alpha * U
        theta -= m + alpha * weight_decay * theta
        yield theta
