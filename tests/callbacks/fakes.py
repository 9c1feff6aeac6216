"""What callbacks see of a model, and a loop that sends the events."""

from types import SimpleNamespace


class FakeModel:
    """Its weights are the number of the epoch in which it is."""

    def __init__(self, rate=0.5):
        self.optimizer = SimpleNamespace(learning_rate=rate)
        self.metrics, self.history = [], None
        self.stop_training = False
        self.weights, self.saved = 0, []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, path, overwrite=True):
        self.saved.append((path, self.weights))

    save_weights = save


def train(callbacks, model, logs, batches=0):
    """Send a job's events; `logs` holds those of each epoch. Returns the rates used."""
    rates = []
    callbacks.set_model(model)
    callbacks.on_train_begin()
    for epoch, epoch_logs in enumerate(logs):
        model.weights = epoch
        callbacks.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate))
        for batch in range(batches):
            callbacks.on_train_batch_begin(batch)
            callbacks.on_train_batch_end(batch, dict(epoch_logs))
        callbacks.on_epoch_end(epoch, dict(epoch_logs))
        if model.stop_training:
            break
    callbacks.on_train_end(dict(epoch_logs))
    return rates
