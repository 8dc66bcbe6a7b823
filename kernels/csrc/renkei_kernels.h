/* The C interface of the compiled kernels. Arrays are C-contiguous; lengths in A, energies in the network's unit.
 *
 * One source is compiled for several instruction sets; kernels/native.py loads the best one that the processor has.
 * A structure gets the same bits in any batch, with any number of threads, and whether its list of neighbours is new or kept.
 * Positions that are not finite give NaN for that structure.
 */
#ifndef RENKEI_KERNELS_H
#define RENKEI_KERNELS_H

#include <stdint.h>

#define RENKEI_INTERFACE 8

#define RENKEI_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

/* A descriptor: kernels/descriptors/base.py says what the numbers mean. */
typedef struct {
    int32_t species, radial_terms, angular_terms, powers, radial_channels, angular_channels, length;
    int32_t basis;                /* 0 Chebyshev polynomials, 1 cubic B-splines */
    double radial_cutoff, angular_cutoff;
    const int32_t *power;         /* (powers) of the angular cut-off product */
    const double *radial_mix;     /* (radial_channels, species) */
    const double *angular_mix;    /* (angular_channels, species (species + 1) / 2) */
    const int32_t *radial_place;  /* (radial_channels) first feature of a channel */
    const int32_t *angular_place; /* (powers, angular_channels) */
} renkei_plan;

/* One dense network per species; all layers but the last have the activation (0 linear, 1 tanh, 2 sigmoid,
 * 3 mtanh, 4 twist: kernels/network.py). */
typedef struct {
    int32_t activation, depth;
    const int32_t *layers;    /* (species) */
    const int32_t *sizes;     /* (species, depth + 1) */
    const int64_t *begin;     /* (species) first parameter */
    const double *parameters; /* of each layer: matrix (out, in), then bias (out) */
    const double *mean, *scale; /* (species, length) */
    const double *repulsion, *attraction; /* (species, species) of a two-body energy below them (kernels/baseline.py), or NULL */
    double pair_cutoff;
} renkei_networks;

/* Structures that differ in their positions alone. */
typedef struct {
    int64_t structures, atoms;
    const double *positions; /* (structures, atoms, 3) */
    const int32_t *kinds;    /* (atoms) places in the list of species */
    double vectors[9], inverse[9], heights[3];
    int32_t periodic[3];
} renkei_system;

typedef struct renkei_model renkei_model; /* a descriptor, with networks or without, laid out for the loops */
typedef struct renkei_list renkei_list;   /* neighbours of the last system that was given, with a skin */
typedef struct renkei_pool renkei_pool;   /* structures that do not change, of any size, each with its own neighbours */

RENKEI_API int32_t renkei_interface(void);
RENKEI_API const char *renkei_instructions(void);  /* what this object was compiled for */
RENKEI_API int32_t renkei_runs_here(void);         /* whether the processor has it */

/* The most multiply-adds that one core does here, as floating-point operations per second (two each), in float32 or float64,
 * tried for so many seconds. What no loop over these vectors can pass. */
RENKEI_API double renkei_fma_peak(int32_t single, double seconds);

/* networks may be NULL. single: features and derivatives in float32. NULL if the orders are beyond what the loops are made for. */
RENKEI_API renkei_model *renkei_model_new(const renkei_plan *plan, const renkei_networks *networks, int32_t single);
RENKEI_API void renkei_model_free(renkei_model *model);
RENKEI_API renkei_list *renkei_list_new(void);
RENKEI_API void renkei_list_free(renkei_list *list);

/* All return 0, or 1 if memory ran out. atomic (structures, atoms) may be NULL. */
RENKEI_API int32_t renkei_energy(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                      double *energy, double *atomic, double *forces, double *virial);
RENKEI_API int32_t renkei_values(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                      double *features);
RENKEI_API int32_t renkei_pull_back(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                         const double *gradient, double *forces, double *virial);
RENKEI_API int32_t renkei_push_forward(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                            const double *direction, double *change);

/* A pool. Its structures are numbered as they are added; system->structures must be 1. Chosen ones are worked on in the order given,
 * their atoms one after another in the rows of the arrays, which are of the model's precision; virial and strain are (count, 3, 3), or
 * NULL. The change along a strain e is that of moving every vector between two atoms by e times itself. `add` returns 0 or the number of an error
 * of the system (after which nothing can be added), the others 0, or 1 if memory ran out. */
/* All that is kept is on scratch in a folder. NULL with the number of the error if that takes no file. */
RENKEI_API renkei_pool *renkei_pool_new(const char *folder, int32_t *error);
RENKEI_API void renkei_pool_free(renkei_pool *pool);
RENKEI_API int32_t renkei_pool_add(renkei_pool *pool, const renkei_model *model, const renkei_system *system);
RENKEI_API int32_t renkei_pool_values(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count,
                                      const int64_t *chosen, void *features);
RENKEI_API int32_t renkei_pool_pull_back(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count,
                                         const int64_t *chosen, const void *gradient, void *forces, void *virial);
RENKEI_API int32_t renkei_pool_push_forward(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count,
                                            const int64_t *chosen, const void *direction, const void *strain, void *change);

#ifdef __cplusplus
}
#endif
#endif
