""".NET: which project is published, and with which framework."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step


def project(sdk: str = "Microsoft.NET.Sdk.Web", inner: str = "", framework: str = "net8.0") -> str:
    return (
        f'<Project Sdk="{sdk}">\n  <PropertyGroup>\n    <TargetFramework>{framework}</TargetFramework>\n{inner}'
        "  </PropertyGroup>\n</Project>\n"
    )


BARE = '<Project Sdk="Microsoft.NET.Sdk.Web"/>'
LIBRARY = project("Microsoft.NET.Sdk")
PROGRAM = project("Microsoft.NET.Sdk", "<OutputType>Exe</OutputType>")
TESTS = project("Microsoft.NET.Sdk.Web", "<IsTestProject>true</IsTestProject>")


@pytest.mark.parametrize(
    ("tree", "path", "assembly"),
    [
        ({"Shop.csproj": project()}, "Shop.csproj", "Shop"),
        ({"Shop.fsproj": project()}, "Shop.fsproj", "Shop"),
        ({"Tool.csproj": PROGRAM}, "Tool.csproj", "Tool"),
        (
            {"Shop.sln": "", "src/Core/Core.csproj": LIBRARY, "src/Web/Web.csproj": project()},
            "src/Web/Web.csproj",
            "Web",
        ),
        (
            {"Shop.slnx": "", "Web/Web.csproj": project(), "Web.Tests/Web.Tests.csproj": TESTS},
            "Web/Web.csproj",
            "Web",
        ),
        ({"Shop.csproj": project(inner="<AssemblyName>shopd</AssemblyName>")}, "Shop.csproj", "shopd"),
    ],
)
def test_the_web_project_is_published(tree: Tree, path: str, assembly: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "dotnet"
    assert f"cd / && dotnet publish /app/{path} " in step(plan, "publish")
    assert command(plan) == f"export ASPNETCORE_URLS=http://0.0.0.0:$PORT; exec dotnet out/{assembly}.dll"
    assert {"FROM stackyn/dotnet:8.0 AS build", "FROM stackyn/aspnet:8.0"} <= set(lines(plan))


def test_several_web_projects_are_refused() -> None:
    tree = {"All.sln": "", "A/A.csproj": project(), "B/B.csproj": project()}
    assert "A/A.csproj, B/B.csproj" in refused(tree, toolchains=EVERYTHING).hint


def test_a_library_is_refused() -> None:
    assert "only a library" in refused({"Core.csproj": LIBRARY}, toolchains=EVERYTHING).message


@pytest.mark.parametrize(
    ("tree", "version"),
    [
        ({"A.csproj": project(framework="net9.0")}, "9.0"),
        (
            {
                "A.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"/>',
                "global.json": '{"sdk": {"version": "8.0.404"}}',
            },
            "8.0",
        ),
        ({"A.csproj": '<Project Sdk="Microsoft.NET.Sdk.Web"/>', ".tool-versions": "dotnet 8.0.1\n"}, "8.0"),
    ],
)
def test_the_version_is_read_from_the_project(tree: Tree, version: str) -> None:
    assert f"FROM stackyn/aspnet:{version}" in lines(planned(tree, toolchains=EVERYTHING))


def test_a_framework_that_is_not_there_is_refused() -> None:
    failure = refused({"A.csproj": project(framework="netcoreapp3.1")}, toolchains=EVERYTHING)
    assert failure.message == ("`TargetFramework` asks for .NET 3.1, and this server has .NET 8.0 and 9.0.")


def test_names_with_spaces_are_quoted() -> None:
    plan = planned({"My Shop.sln": "", "My Shop/My Shop.csproj": project()}, toolchains=EVERYTHING)
    assert "dotnet publish '/app/My Shop/My Shop.csproj' " in step(plan, "publish")
    assert command(plan).endswith("exec dotnet 'out/My Shop.dll'")


@pytest.mark.parametrize(
    "framework",
    ["<TargetFrameworkVersion>v4.8</TargetFrameworkVersion>", "<TargetFramework>net472</TargetFramework>"],
)
def test_the_framework_of_windows_is_refused_by_its_name(framework: str) -> None:
    assert (
        "Windows only"
        in refused({"A.csproj": f"<Project>{framework}</Project>"}, toolchains=EVERYTHING).message
    )


def test_an_app_for_browsers_is_published_and_served_as_files() -> None:
    plan = planned({"Shop.csproj": project("Microsoft.NET.Sdk.BlazorWebAssembly")}, toolchains=EVERYTHING)
    assert {"COPY --from=build /app/out/wwwroot/ /srv/site/", "ENV SINGLE_PAGE=1"} <= set(lines(plan))
    assert set(plan.base_images) == {"stackyn/dotnet:8.0", "stackyn/static:1"}


def test_the_server_of_a_hosted_blazor_app_is_published() -> None:
    client = project("Microsoft.NET.Sdk.BlazorWebAssembly")
    tree = {"Shop.sln": "", "Client/Client.csproj": client, "Server/Server.csproj": project()}
    assert "/app/Server/Server.csproj" in step(planned(tree, toolchains=EVERYTHING), "publish")


@pytest.mark.parametrize(
    "program",
    [
        project(
            "Microsoft.NET.Sdk", "<OutputType>WinExe</OutputType><UseWPF>true</UseWPF>", "net9.0-windows"
        ),
        PROGRAM.replace("<TargetFramework>net8.0<", "<TargetFrameworks>net8.0-android;net8.0-ios<"),
    ],
)
def test_an_app_for_desktops_or_phones_is_refused_as_one(program: str) -> None:
    assert "desktops or phones" in refused({"Shop.csproj": program}, toolchains=EVERYTHING).message
    tree = {"Shop.sln": "", "App/App.csproj": program, "Api/Api.csproj": project()}
    assert "/app/Api/Api.csproj" in step(planned(tree, toolchains=EVERYTHING), "publish")


def test_a_newer_sdk_of_global_json_builds_an_older_framework() -> None:
    plan = planned(
        {"A.csproj": project(), "global.json": '{"sdk": {"version": "9.0.100"}}'}, toolchains=EVERYTHING
    )
    assert [line for line in lines(plan) if line.startswith("FROM ")] == [
        "FROM stackyn/dotnet:9.0 AS build",
        "FROM stackyn/aspnet:8.0",
    ]


def test_an_unavailable_sdk_is_refused_without_roll_forward() -> None:
    tree = {"A.csproj": project(), "global.json": '{"sdk": {"version": "8.5.100"}}'}
    message = refused(tree, toolchains=EVERYTHING).message
    assert ".NET 8.5" in message and "8.0 and 9.0" in message
    rolling = '{"sdk": {"version": "8.5.100", "rollForward": "latestMajor"}}'
    assert (
        planned({**tree, "global.json": rolling}, toolchains=EVERYTHING).base_images[0]
        == "stackyn/dotnet:9.0"
    )
