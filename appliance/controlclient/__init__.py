"""controlclient: registers the node with a coordinator and streams the map from it.

In: the coordinator's URL, the machine's and the node's key, what the node says about itself, the
owner's wish to be logged in or out. Out: map responses as they come, a login page when a person
must decide, and one status with the reason when something is wrong.
"""
