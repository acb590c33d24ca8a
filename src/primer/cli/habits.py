"""What people type out of habit from other tools, and what it is called here."""

from __future__ import annotations

KEYS = {
    "model": "net network arch architecture backbone",
    "data": "dataset datamodule dm",
    "data.batch_size": "bs batch batchsize train_batch_size",
    "data.val_fraction": "val_split valid_size val_size validation_split validation_fraction",
    "data.test_fraction": "test_split test_size",
    "data.train_size": "subset num_samples max_samples limit",
    "data.folds": "k_folds kfold n_splits num_folds cross_validation cv",
    "optimizer": "optim opt",
    "optimizer.lr": "lr learning_rate learningrate base_lr rate",
    "optimizer=momentum optimizer.momentum={value}": "momentum",
    "scheduler": "sched lr_scheduler lr_schedule schedule",
    "scheduler.warmup": "warmup_steps warmup_epochs num_warmup_steps lr_warmup",
    "objective": "loss criterion loss_fn loss_function",
    "regularization.dropout": "dropout dropout_rate drop_rate p_dropout",
    "regularization.l2": "weight_decay wd l2_reg l2_penalty l2_regularization",
    "regularization.l1": "l1_reg l1_penalty l1_regularization",
    "regularization.label_smoothing": "smoothing",
    "regularization.stochastic_depth": "drop_path drop_path_rate",
    "regularization.ema": "ema_decay swa",
    "regularization.early_stopping.patience": "patience early_stopping_patience",
    "regularization.early_stopping.patience=5": "early_stopping earlystopping early_stop",
    "regularization/augmentation": "augmentation augmentations augment aug data_augmentation transform transforms",
    "trainer.max_epochs": "epochs epoch num_epochs n_epochs nepochs max_epoch num_train_epochs",
    "trainer.max_steps": "steps num_steps iterations num_iterations max_iter max_iters",
    "trainer.max_time": "time_limit timeout",
    "trainer.gradient_clip_val": "clip grad_clip clip_grad gradient_clip gradient_clipping max_grad_norm clip_norm",
    "trainer.accumulate_grad_batches": "accumulate grad_accum gradient_accumulation gradient_accumulation_steps",
    "trainer.precision=bf16-mixed": "amp bf16 fp16 mixed_precision half use_amp",
    "accelerator": "device",
    "accelerator=gpu": "cuda gpu use_gpu use_cuda no_cpu",
    "accelerator=cpu": "cpu no_cuda no_gpu",
    "accelerator=gpu accelerator.devices={value}": "gpus num_gpus n_gpus n_gpu ngpus",
    "accelerator=ddp accelerator.devices={value}": "nproc_per_node world_size num_processes ddp distributed",
    "data.workers={value} (for data=image_folder; other data needs none)": "num_workers workers n_workers",
    "logger=wandb": "wandb use_wandb weights_and_biases",
    "logger=tensorboard": "tensorboard tb use_tensorboard",
    "logger=mlflow": "mlflow use_mlflow",
    "logger=wandb logger.wandb.project={value}": "project wandb_project",
    "paths.data_dir": "data_dir data_root data_path dataset_path root",
    "paths.log_dir": "log_dir logdir logs",
    "hydra.run.dir": "output_dir out_dir save_dir outdir output run_dir default_root_dir",
    "task_name": "name exp_name experiment_name run_name",
    "seed": "seeds random_seed random_state manual_seed",
    "monitor": "metric metrics early_stopping_monitor",
    "weights": "pretrained pretrained_weights init_from load_weights checkpoint ckpt ckpt_path checkpoint_path load",
    "run": "run_dir model_path logdir folder resume",
    "ckpt": "checkpoint ckpt_path checkpoint_path resume weights",
    "resume": "checkpoint ckpt ckpt_path checkpoint_path resume_from resume_from_checkpoint continue load run",
    "part": "split subset",
}
"""What to write, and the keys of other tools that mean it. ``{value}`` stands for the value that was typed. If a key
occurs more than once, the first that the command has is meant."""

CHOICES = {
    "model": {
        "mlp": "fc fcn ffn nn dense feedforward perceptron",
        "linear": "logistic logistic_regression linear_regression softmax_regression",
        "lenet": "cnn convnet conv lenet5",
        "resnet18": "resnet",
        "vgg16": "vgg",
        "mobilenet_v2": "mobilenet",
        "seq2seq": "encoder_decoder encdec s2s",
    },
    "optimizer": {"momentum": "sgd_momentum sgdm heavy_ball", "nesterov": "nag sgd_nesterov"},
    "scheduler": {
        "none": "constant fixed off false",
        "cosine": "cosine_annealing cosineannealing cosineannealinglr cos",
        "plateau": "reduce_lr_on_plateau reducelronplateau reduce_on_plateau",
        "one_cycle": "onecycle onecyclelr 1cycle",
        "step": "steplr step_lr",
    },
    "objective": {
        "cross_entropy": "ce crossentropy crossentropyloss softmax nll categorical_crossentropy",
        "bce": "binary_crossentropy binary_cross_entropy bce_with_logits bcewithlogits logistic",
        "mse": "l2 l2_loss mseloss mean_squared_error squared_error",
        "mae": "l1 l1_loss l1loss mean_absolute_error absolute_error",
        "huber": "smooth_l1 smoothl1 smooth_l1_loss",
    },
    "accelerator": {"gpu": "cuda cuda:0 nvidia", "mps": "apple metal m1"},
    "logger": {"wandb": "wb weights_and_biases", "tensorboard": "tb", "none": "off false"},
    "debug": {"fast": "true 1 fast_dev_run", "overfit": "overfit_batches"},
}
"""The choices of some groups, and what else they are called."""


def known_as(key: str) -> list[str]:
    """Returns what a key of another tool is called here: one or more texts in the form of the keys of ``KEYS``."""
    return [ours for ours, theirs in KEYS.items() if key.lower().replace("-", "_") in theirs.split()]


def choice_known_as(group: str, choice: str) -> str | None:
    """Returns the choice of a group that is known under another name."""
    return next((ours for ours, theirs in CHOICES.get(group, {}).items() if choice.lower() in theirs.split()), None)
