"""torch.nn.functional: layers as functions."""

from rushlight.nn.functional.activation import *  # noqa: F403
from rushlight.nn.functional.activation import (  # noqa: F401
    celu_, elu_, hardtanh_, leaky_relu_, relu_, rrelu_, selu_, threshold_)
from rushlight.nn.functional.attention import multi_head_attention_forward, scaled_dot_product_attention  # noqa: F401
from rushlight.nn.functional.conv import (  # noqa: F401
    bilinear, conv1d, conv2d, conv3d, conv_tbc, conv_transpose1d, conv_transpose2d, conv_transpose3d, linear)
from rushlight.nn.functional.ctc import ctc_loss  # noqa: F401
from rushlight.nn.functional.distance import cosine_similarity, pairwise_distance, pdist  # noqa: F401
from rushlight.nn.functional.embedding import embedding, embedding_bag  # noqa: F401
from rushlight.nn.functional.grids import affine_grid, grid_sample, grid_sampler, grid_sampler_2d, grid_sampler_3d  # noqa: F401
from rushlight.nn.functional.loss import *  # noqa: F403
from rushlight.nn.functional.norm import (  # noqa: F401
    alpha_dropout, batch_norm, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout, group_norm,
    instance_norm, layer_norm, local_response_norm, rms_norm)
from rushlight.nn.functional.padding import pad  # noqa: F401
from rushlight.nn.functional.pooling import *  # noqa: F403
from rushlight.nn.functional.vision import (  # noqa: F401
    channel_shuffle, fold, interpolate, native_channel_shuffle, pixel_shuffle, pixel_unshuffle, unfold, upsample, upsample_bilinear, upsample_nearest)

# names that stand in the torch namespace too
TORCH_LEVEL = frozenset("""conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc max_pool1d
    max_pool2d max_pool3d avg_pool1d adaptive_avg_pool1d adaptive_max_pool1d rms_norm bilinear pairwise_distance
    cosine_similarity pdist pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle celu celu_ selu selu_
    rrelu rrelu_ relu_ threshold threshold_ prelu hardshrink max_pool1d_with_indices grid_sampler grid_sampler_2d
    grid_sampler_3d""".split())
