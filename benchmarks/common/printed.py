"""What the paper prints: Xu et al., "Downscaled Representation Matters", ICCV 2023, arXiv 2211.10643."""

from collections.abc import Mapping

Value = tuple[float, float | None]
"""PSNR in dB and SSIM, both on Y."""

TABLE_1_SETS = ("Set5", "Set14", "BSD100", "Urban100", "DIV2K")

TABLE_1: Mapping[str, tuple[Value | None, ...]] = {
    "Bicubic & Bicubic": ((28.42, 0.8104), (26.00, 0.7027), (25.96, 0.6675), (23.14, 0.6577), (26.66, 0.8521)),
    "Bicubic & SRCNN": ((30.48, 0.8628), (27.50, 0.7513), (26.90, 0.7101), (24.52, 0.7221), None),
    "Bicubic & RDN": ((32.47, 0.8990), (28.81, 0.7871), (27.72, 0.7419), (26.61, 0.8028), None),
    "Bicubic & EDSR": ((32.62, 0.8984), (28.94, 0.7901), (27.79, 0.7437), (26.86, 0.8080), (29.38, 0.9032)),
    "Bicubic & RCAN": ((32.63, 0.9002), (28.87, 0.7889), (27.77, 0.7436), (26.82, 0.8087), (30.77, 0.8460)),
    "Bicubic & RFANet": ((32.66, 0.9004), (28.88, 0.7894), (27.79, 0.7442), (26.92, 0.8112), (31.41, 0.9187)),
    "Bicubic & RRDB": ((32.74, 0.9012), (29.00, 0.7915), (27.84, 0.7455), (27.03, 0.8152), (30.92, 0.8486)),
    "Bicubic & SwinIR": ((32.72, 0.9021), (28.94, 0.7914), (27.83, 0.7459), (27.07, 0.8164), None),
    "TAD & TAU": ((31.81, None), (28.63, None), (28.51, None), (26.63, None), (31.16, None)),
    "CAR & EDSR": ((33.88, 0.9174), (30.31, 0.8382), (29.15, 0.8001), (29.28, 0.8711), (32.82, 0.8837)),
    "IRN": ((36.19, 0.9451), (32.67, 0.9015), (31.64, 0.8826), (31.41, 0.9157), (35.07, 0.9318)),
    "IRN+HCD (N=15)": ((36.63, 0.9488), (33.21, 0.9076), (32.03, 0.8894), (31.76, 0.9180), (35.20, 0.9324)),
    "HCFlow": ((36.29, 0.9468), (33.02, 0.9065), (31.74, 0.8864), (31.62, 0.9206), (35.32, 0.9346)),
    "HCFlow+HCD (N=15)": ((36.99, 0.9506), (33.56, 0.9116), (32.22, 0.8919), (32.00, 0.9231), (35.36, 0.9352)),
}
"""x4; columns as in `TABLE_1_SETS`."""

TABLE_2: Mapping[tuple[int, int], Value] = {
    (15, 0): (44.45, 0.9880),
    (0, 15): (44.37, 0.9879),
    (15, 15): (44.67, 0.9886),
}
"""IRN x2, Set5; by (LR iterations Nx, HR iterations Ny)."""

TABLE_3: Mapping[int, tuple[float, float, float]] = {
    1: (44.10, 0.9872, 0.33),
    5: (44.52, 0.9882, 1.61),
    10: (44.61, 0.9884, 2.98),
    15: (44.67, 0.9886, 3.97),
    20: (44.66, 0.9872, 5.26),
}
"""IRN x2, Set5, by N = Nx = Ny: PSNR, SSIM, seconds of downscaling; upscaling takes 0.03 s."""

CURVES_SAY: Mapping[str, str] = {
    "alpha": "IRN x2 on Set5 does well between 0.04 and 0.08 (figure 6; its values are drawn, not printed)",
    "epsilon": "IRN x2 on Set5: 0.3 brings a significant improvement (figure 7; its values are drawn, not printed)",
}
