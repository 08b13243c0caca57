// Batch and layer normalization with their gradients.
//
// Batch statistics of x [R, C] come in two steps, so that a long R keeps all threads busy and the result does not depend
// on how many there are: `batch_norm_partials` makes the mean and the summed squared deviations of each chunk of rows,
// `batch_norm_join` joins them in one order (Chan et al., 1979). No difference of large sums is formed: the variance of
// numbers far from zero is right.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct BatchStatsShape {
  i64 R, C;
  i64 chunk;  // rows per chunk, > 0; there are K = max(1, ceil(R / chunk)) of them
};
NACRE_FIELDS(BatchStatsShape, R, C, chunk)

struct BatchApplyShape {
  i64 R, C;
  i64 act;  // 1: ReLU, 2: ReLU6 behind it; in gradients dy counts only where y > 0, or 0 <= y <= 6 before it
  i64 has_gamma, has_beta;  // 0: absent, as if gamma were 1 and beta 0
  i64 residual;             // batch_norm_apply, 1: there is an r, which is added before the activation
  double eps;
};
NACRE_FIELDS(BatchApplyShape, R, C, act, has_gamma, has_beta, residual, eps)

struct BatchGradShape {
  i64 R, C;
  i64 chunk;
  i64 act, has_gamma, has_beta;  // as above; gamma and beta are read only where there is an activation
  double eps;
};
NACRE_FIELDS(BatchGradShape, R, C, chunk, act, has_gamma, has_beta, eps)

struct LayerNormShape {
  i64 M, N;
  i64 rms;                  // 1: no mean is taken off (RMS normalization), mean is 0
  i64 has_gamma, has_beta;  // 0: absent
  double eps;
};
NACRE_FIELDS(LayerNormShape, M, N, rms, has_gamma, has_beta, eps)

struct LayerGradShape {
  i64 M, N;
  i64 chunk;  // rows per chunk of the sums over m
};
NACRE_FIELDS(LayerGradShape, M, N, chunk)

namespace NACRE_ISA {

// partials[k, 0, c] = mean of chunk k, partials[k, 1, c] = sum over the chunk of (x - that mean)^2
Facts batch_norm_partials_facts(const BatchStatsShape& s);
void batch_norm_partials(const BatchStatsShape& s, Slice units, Scratch scratch, const float* x, float* partials);

// mean[c] and the biased variance var[c] of all R rows; R = 0 gives NaN.
Facts batch_norm_join_facts(const BatchStatsShape& s);
void batch_norm_join(const BatchStatsShape& s, Slice units, Scratch scratch, const float* partials, float* mean,
                     float* var);

// Both at once, for shapes that need no chunks: the same as partials with chunk = R and join.
Facts batch_norm_stats_facts(const BatchStatsShape& s);
void batch_norm_stats(const BatchStatsShape& s, Slice units, Scratch scratch, const float* x, float* mean, float* var);

// y = act((x - mean) / sqrt(var + eps) * gamma + beta + r)
Facts batch_norm_apply_facts(const BatchApplyShape& s);
void batch_norm_apply(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* mean,
                      const float* var, const float* gamma, const float* beta, const float* r, float* y);

// partials[k, 0, c] = sum over chunk k of dy, partials[k, 1, c] = sum of dy * xhat, dy through the activation, of which
// nothing was kept: y is computed again, to the same bits. Reduced over k (kernel reduce with R = K) they are dbeta and
// dgamma.
Facts batch_norm_grad_stats_facts(const BatchGradShape& s);
void batch_norm_grad_stats(const BatchGradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                           const float* mean, const float* var, const float* gamma, const float* beta, float* partials);

// Training: dx = gamma * rstd * (dy - dbeta / R - xhat * dgamma / R), where sums is [2, C]: dbeta, then dgamma. beta is
// read only where there is an activation.
Facts batch_norm_grad_x_facts(const BatchApplyShape& s);
void batch_norm_grad_x(const BatchApplyShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                       const float* mean, const float* var, const float* gamma, const float* beta, const float* sums,
                       float* dx);

// y[m,n] = (x[m,n] - mean[m]) * rstd[m] * gamma[n] + beta[n], rstd = 1 / sqrt(biased variance + eps)
Facts layer_norm_facts(const LayerNormShape& s);
void layer_norm(const LayerNormShape& s, Slice units, const float* x, const float* gamma, const float* beta, float* y,
                float* mean, float* rstd);

// dx[m,:] = rstd * (g - mean(g) - xhat * mean(g * xhat)), g = dy * gamma; without mean(g) for RMS
Facts layer_norm_grad_x_facts(const LayerNormShape& s);
void layer_norm_grad_x(const LayerNormShape& s, Slice units, const float* x, const float* dy, const float* gamma,
                       const float* mean, const float* rstd, float* dx);

// partials[k, 0, n] = sum over the rows of chunk k of dy, partials[k, 1, n] = sum of dy * xhat
Facts layer_norm_grad_params_facts(const LayerGradShape& s);
void layer_norm_grad_params(const LayerGradShape& s, Slice units, Scratch scratch, const float* x, const float* dy,
                            const float* mean, const float* rstd, float* partials);

}  // namespace NACRE_ISA
}  // namespace nacre
