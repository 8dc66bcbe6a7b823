// The functions of renkei_kernels.h: loops over structures and atoms.
#include "renkei_kernels.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>
#include <new>
#include <vector>

#include <omp.h>

#include "neighborhood.hpp"
#include "neighbors.hpp"
#include "network.hpp"
#include "scratch.hpp"

#if defined(__aarch64__) && defined(__linux__) && RENKEI_VECTOR_BYTES == 64
#include <sys/auxv.h>
#include <sys/prctl.h>
#endif

namespace {

constexpr double FARTHEST_A = 1e8;          // a coordinate beyond it (or NaN) belongs to a trajectory that has exploded
constexpr int64_t SLAB_ATOMS = 48;          // a structure is cut into slabs, which do not depend on the number of threads
constexpr int64_t MOST_SLABS = 16;

template <class T> struct Model {
    typedef T Real;
    Plan<T> plan;
    std::vector<Network<T>> networks;
    std::vector<T> repulsion, attraction;  // (species, species) of a two-body energy, or empty
    double pair_cutoff = 0;
    int widest = 0, deepest = 0;
};

// What one thread works with.
template <class T> struct Desk {
    Neighborhood<T> around;
    Room<T> features, by_sums, nodes, slopes;

    explicit Desk(const Model<T> &model) : around(model.plan) {
        features.need(model.plan.length), by_sums.need(model.plan.tables());
        nodes.need(size_t(model.deepest + 1) * model.widest + 1);
        slopes.need(size_t(model.deepest + 1) * model.widest + 1);
    }
};

// forces and virial of some atoms of one structure
struct Share {
    double energy = 0;
    std::vector<double> forces;
    double virial[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
};

bool usable(const double *positions, int64_t count) {
    for (int64_t k = 0; k < count; k++)
        if (!(std::fabs(positions[k]) < FARTHEST_A)) return false;
    return true;
}

// The atoms slab by slab, within a slab by species: the parameters of one network stay in the cache.
std::vector<int64_t> in_order(const renkei_system &system, int64_t slabs) {
    std::vector<int64_t> order(system.atoms);
    for (int64_t i = 0; i < system.atoms; i++) order[i] = i;
    for (int64_t slab = 0; slab < slabs; slab++)
        std::stable_sort(order.begin() + slab * system.atoms / slabs, order.begin() + (slab + 1) * system.atoms / slabs,
                         [&](int64_t i, int64_t j) { return system.kinds[i] < system.kinds[j]; });
    return order;
}

// act(desk, list, structure, atom, share) for every atom; then gather(structure, share), or spoil(structure) if it is not usable.
// Shares are summed in a fixed order.
template <class T, class Act, class Gather, class Spoil>
void each_atom(const Model<T> &model, renkei_list &list, const renkei_system &system, int threads, bool with_forces, Act act,
               Gather gather, Spoil spoil) {
    int64_t atoms = system.atoms, slabs = std::max<int64_t>(1, std::min(MOST_SLABS, atoms / SLAB_ATOMS));
    std::vector<std::unique_ptr<Desk<T>>> desks(std::max(threads, 1));
    for (auto &desk : desks) desk = std::make_unique<Desk<T>>(model);
    const std::vector<int64_t> order = in_order(system, slabs);
    std::vector<char> good(system.structures);
    for (int64_t b = 0; b < system.structures; b++) good[b] = usable(system.positions + 3 * atoms * b, 3 * atoms);
    for (int64_t b = 0; b < system.structures;) {
        if (!good[b]) {
            spoil(b++);
            continue;
        }
        int64_t end = b + 1;
        while (end < system.structures && good[end]) end++;
        list.update(system, model.plan.species, model.plan.radial_cutoff, b, end);
        const Near near = list.near();
        std::vector<Share> shares((end - b) * slabs);
        std::exception_ptr problem;
#pragma omp parallel for num_threads(int(desks.size())) schedule(dynamic, 1) if (desks.size() > 1)
        for (int64_t task = 0; task < int64_t(shares.size()); task++) {
            try {
                Share &share = shares[task];
                if (with_forces) share.forces.assign(3 * atoms, 0.0);
                int64_t slab = task % slabs;
                for (int64_t n = slab * atoms / slabs; n < (slab + 1) * atoms / slabs; n++)
                    act(*desks[omp_get_thread_num()], near, b + task / slabs, order[n], share);
            } catch (...) {
#pragma omp critical
                problem = std::current_exception();
            }
        }
        if (problem) std::rethrow_exception(problem);
        for (size_t task = 0; task < shares.size(); task++) gather(b + int64_t(task) / slabs, shares[task]);
        b = end;
    }
}

void add_forces(const Share &share, int64_t b, int64_t atoms, double *forces, double *virial) {
    for (int64_t k = 0; k < 3 * atoms; k++) forces[3 * atoms * b + k] += share.forces[k];
    for (int k = 0; k < 9; k++) virial[9 * b + k] += share.virial[k];
}

void fill(double *array, int64_t count, double value) { std::fill(array, array + count, value); }

template <class T>
void energy_of(const Model<T> &model, renkei_list &list, const renkei_system &system, int threads, double *energy, double *atomic,
               double *forces, double *virial) {
    int64_t atoms = system.atoms;
    fill(energy, system.structures, 0), fill(forces, 3 * atoms * system.structures, 0), fill(virial, 9 * system.structures, 0);
    each_atom(
        model, list, system, threads, true,
        [&](Desk<T> &desk, const Near &found, int64_t b, int64_t i, Share &share) {
            desk.around.gather(found, system.positions + 3 * atoms * b, i);
            const Network<T> &network = model.networks[system.kinds[i]];
            const Inputs<T> inputs = model.plan.splines ? desk.around.parts() : Inputs<T>{desk.around.sums()};
            double value = network.value_and_gradient(inputs, desk.nodes.data, desk.slopes.data, model.widest);
            desk.around.push(desk.nodes.data, share.forces.data(), share.virial);
            if (!model.repulsion.empty()) {
                size_t own = size_t(system.kinds[i]) * model.plan.species;
                value += desk.around.push_pairs(&model.repulsion[own], &model.attraction[own], model.pair_cutoff, share.forces.data(),
                                                share.virial);
            }
            share.energy += value;
            if (atomic) atomic[atoms * b + i] = value;
        },
        [&](int64_t b, const Share &share) {
            energy[b] += share.energy;
            add_forces(share, b, atoms, forces, virial);
        },
        [&](int64_t b) {
            energy[b] = NAN;
            if (atomic) fill(atomic + atoms * b, atoms, NAN);
            fill(forces + 3 * atoms * b, 3 * atoms, NAN), fill(virial + 9 * b, 9, NAN);
        });
}

template <class T>
void values_of(const Model<T> &model, renkei_list &list, const renkei_system &system, int threads, const double *direction, double *result) {
    int64_t atoms = system.atoms, length = model.plan.length;
    each_atom(
        model, list, system, threads, false,
        [&](Desk<T> &desk, const Near &found, int64_t b, int64_t i, Share &) {
            desk.around.gather(found, system.positions + 3 * atoms * b, i);
            const T *sums = direction ? desk.around.follow(direction + 3 * atoms * b) : desk.around.sums();
            model.plan.unfold(sums, desk.features.data);
            std::copy(desk.features.data, desk.features.data + length, result + (atoms * b + i) * length);
        },
        [](int64_t, const Share &) {}, [&](int64_t b) { fill(result + atoms * b * length, atoms * length, NAN); });
}

template <class T>
void pull_back_of(const Model<T> &model, renkei_list &list, const renkei_system &system, int threads, const double *gradient,
                  double *forces, double *virial) {
    int64_t atoms = system.atoms, length = model.plan.length;
    fill(forces, 3 * atoms * system.structures, 0), fill(virial, 9 * system.structures, 0);
    each_atom(
        model, list, system, threads, true,
        [&](Desk<T> &desk, const Near &found, int64_t b, int64_t i, Share &share) {
            const double *mine = gradient + (atoms * b + i) * length;
            std::copy(mine, mine + length, desk.features.data);
            model.plan.fold(desk.features.data, desk.by_sums.data);
            desk.around.gather(found, system.positions + 3 * atoms * b, i);
            desk.around.push(desk.by_sums.data, share.forces.data(), share.virial);
        },
        [&](int64_t b, const Share &share) { add_forces(share, b, atoms, forces, virial); },
        [&](int64_t b) { fill(forces + 3 * atoms * b, 3 * atoms, NAN), fill(virial + 9 * b, 9, NAN); });
}

template <class T> std::unique_ptr<Model<T>> model_of(const renkei_plan &plan, const renkei_networks *networks) {
    auto model = std::make_unique<Model<T>>();
    if (!model->plan.take(plan)) return nullptr;
    for (int s = 0; networks && s < plan.species; s++) {
        model->networks.emplace_back();
        model->networks.back().take(*networks, s, model->plan);
        model->widest = std::max(model->widest, model->networks.back().widest());
        model->deepest = std::max(model->deepest, int(model->networks.back().layers.size()));
    }
    if (networks && networks->repulsion) {
        size_t count = size_t(plan.species) * plan.species;
        model->repulsion.assign(networks->repulsion, networks->repulsion + count);
        model->attraction.assign(networks->attraction, networks->attraction + count);
        model->pair_cutoff = networks->pair_cutoff;
    }
    return model;
}

}  // namespace

// One structure of a pool, on its scratch.
struct Fixed {
    int64_t atoms;
    const double *positions;
    Near near;
};

struct renkei_pool {
    Scratch scratch;
    std::vector<Fixed> structures;
};

namespace {

// act(desk, structure, first row, place among the chosen) for every chosen structure
template <class T, class Act>
void each_chosen(const Model<T> &model, const renkei_pool &pool, int threads, int64_t count, const int64_t *chosen, Act act) {
    std::vector<std::unique_ptr<Desk<T>>> desks(std::max(threads, 1));
    for (auto &desk : desks) desk = std::make_unique<Desk<T>>(model);
    std::vector<int64_t> first(count + 1, 0);
    for (int64_t n = 0; n < count; n++) first[n + 1] = first[n] + pool.structures[chosen[n]].atoms;
    std::exception_ptr problem;
#pragma omp parallel for num_threads(int(desks.size())) schedule(dynamic, 1) if (desks.size() > 1)
    for (int64_t n = 0; n < count; n++) {
        try {
            act(*desks[omp_get_thread_num()], pool.structures[chosen[n]], first[n], n);
        } catch (...) {
#pragma omp critical
            problem = std::current_exception();
        }
    }
    if (problem) std::rethrow_exception(problem);
}

// features, or their change along a direction (rows, 3) and a strain (count, 3, 3), if there is one
template <class T>
void pool_values_of(const Model<T> &model, const renkei_pool &pool, int threads, int64_t count, const int64_t *chosen,
                    const T *direction, const T *strain, T *result) {
    each_chosen(model, pool, threads, count, chosen, [&](Desk<T> &desk, const Fixed &one, int64_t row, int64_t n) {
        std::vector<double> motion, mine;
        if (direction) motion.assign(direction + 3 * row, direction + 3 * (row + one.atoms));
        if (strain) mine.assign(strain + 9 * n, strain + 9 * (n + 1));
        for (int64_t i = 0; i < one.atoms; i++) {
            desk.around.gather(one.near, one.positions, i);
            model.plan.unfold(direction ? desk.around.follow(motion.data(), strain ? mine.data() : nullptr) : desk.around.sums(),
                              result + (row + i) * model.plan.length);
        }
    });
}

template <class T>
void pool_pull_back_of(const Model<T> &model, const renkei_pool &pool, int threads, int64_t count, const int64_t *chosen,
                       const T *gradient, T *forces, T *virial) {
    each_chosen(model, pool, threads, count, chosen, [&](Desk<T> &desk, const Fixed &one, int64_t row, int64_t n) {
        std::vector<double> sums(3 * one.atoms, 0.0);
        double mine[9] = {};
        for (int64_t i = 0; i < one.atoms; i++) {
            model.plan.fold(gradient + (row + i) * model.plan.length, desk.by_sums.data);
            desk.around.gather(one.near, one.positions, i);
            desk.around.push(desk.by_sums.data, sums.data(), mine);
        }
        for (size_t k = 0; k < sums.size(); k++) forces[3 * row + int64_t(k)] = T(sums[k]);
        for (int k = 0; virial && k < 9; k++) virial[9 * n + k] = T(mine[k]);
    });
}

}  // namespace

struct renkei_model {
    std::unique_ptr<Model<float>> single;
    std::unique_ptr<Model<double>> full;
};

// call(model) with the precision that it has; 1 if memory ran out
template <class Call> static int32_t with(const renkei_model *model, Call call) {
    try {
        if (model->single)
            call(*model->single);
        else
            call(*model->full);
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

// an array of the model's precision
template <class M> static auto real(void *array) { return static_cast<typename std::decay_t<M>::Real *>(array); }
template <class M> static auto real(const void *array) { return static_cast<const typename std::decay_t<M>::Real *>(array); }

extern "C" {

int32_t renkei_interface(void) { return RENKEI_INTERFACE; }

const char *renkei_instructions(void) {
#if defined(__AVX512F__)
    return "avx512";
#elif defined(__AVX2__)
    return "avx2";
#elif defined(__x86_64__)
    return "sse2";
#elif defined(__aarch64__) && RENKEI_VECTOR_BYTES == 64
    return "sve512";
#elif defined(__aarch64__)
    return "neon";
#else
    return "generic";
#endif
}

int32_t renkei_runs_here(void) {
#if defined(__AVX512F__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#elif defined(__AVX2__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#elif defined(__aarch64__) && defined(__linux__) && RENKEI_VECTOR_BYTES == 64
    return (getauxval(AT_HWCAP) & (1ul << 22)) && (prctl(51 /* PR_SVE_GET_VL */) & 0xffff) == 64;
#else
    return 1;
#endif
}

renkei_model *renkei_model_new(const renkei_plan *plan, const renkei_networks *networks, int32_t single) {
    try {
        auto model = std::make_unique<renkei_model>();
        if (single)
            model->single = model_of<float>(*plan, networks);
        else
            model->full = model_of<double>(*plan, networks);
        return model->single || model->full ? model.release() : nullptr;
    } catch (const std::bad_alloc &) {
        return nullptr;
    }
}

void renkei_model_free(renkei_model *model) { delete model; }
renkei_list *renkei_list_new(void) { return new (std::nothrow) renkei_list; }
void renkei_list_free(renkei_list *list) { delete list; }

int32_t renkei_energy(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads, double *energy,
                      double *atomic, double *forces, double *virial) {
    return with(model, [&](const auto &m) { energy_of(m, *list, *system, threads, energy, atomic, forces, virial); });
}

int32_t renkei_values(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads, double *features) {
    return with(model, [&](const auto &m) { values_of(m, *list, *system, threads, nullptr, features); });
}

int32_t renkei_pull_back(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                         const double *gradient, double *forces, double *virial) {
    return with(model, [&](const auto &m) { pull_back_of(m, *list, *system, threads, gradient, forces, virial); });
}

int32_t renkei_push_forward(const renkei_model *model, renkei_list *list, const renkei_system *system, int32_t threads,
                            const double *direction, double *change) {
    return with(model, [&](const auto &m) { values_of(m, *list, *system, threads, direction, change); });
}

renkei_pool *renkei_pool_new(const char *folder, int32_t *error) {
    auto pool = std::unique_ptr<renkei_pool>(new (std::nothrow) renkei_pool);
    *error = pool ? pool->scratch.open(folder) : ENOMEM;
    return *error ? nullptr : pool.release();
}
void renkei_pool_free(renkei_pool *pool) { delete pool; }

int32_t renkei_pool_add(renkei_pool *pool, const renkei_model *model, const renkei_system *system) {
    int32_t failed = with(model, [&](const auto &m) {
        renkei_list list;
        list.update(*system, m.plan.species, m.plan.radial_cutoff, 0, 1, 0.0);
        Scratch &kept = pool->scratch;
        const double *positions = kept.keep(system->positions, size_t(3 * system->atoms));
        Near near{kept.keep(list.start), kept.keep(list.ends), kept.keep(list.neighbors), kept.keep(list.shifts)};
        if (!kept.error()) pool->structures.push_back({system->atoms, positions, near});
    });
    return failed ? ENOMEM : pool->scratch.error();
}

int32_t renkei_pool_values(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count, const int64_t *chosen,
                           void *features) {
    return with(model, [&](const auto &m) {
        const void *nowhere = nullptr;
        auto none = real<decltype(m)>(nowhere);
        pool_values_of(m, *pool, threads, count, chosen, none, none, real<decltype(m)>(features));
    });
}

int32_t renkei_pool_pull_back(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count,
                              const int64_t *chosen, const void *gradient, void *forces, void *virial) {
    return with(model, [&](const auto &m) {
        pool_pull_back_of(m, *pool, threads, count, chosen, real<decltype(m)>(gradient), real<decltype(m)>(forces),
                          real<decltype(m)>(virial));
    });
}

int32_t renkei_pool_push_forward(const renkei_model *model, const renkei_pool *pool, int32_t threads, int64_t count,
                                 const int64_t *chosen, const void *direction, const void *strain, void *change) {
    return with(model, [&](const auto &m) {
        pool_values_of(m, *pool, threads, count, chosen, real<decltype(m)>(direction), real<decltype(m)>(strain),
                       real<decltype(m)>(change));
    });
}

}  // extern "C"
